"""Consoles of VMs: a ticket that opens one once, who may type, and when it is over."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from kvmweb.core.access import get_for
from kvmweb.core.errors import Conflict, Forbidden, Invalid, NotFound
from kvmweb.jobs.notify import announce
from kvmweb.projects.actions import Actor, audit
from vms.models import Console, Vm

LASTS = timedelta(seconds=30)
MOST = 20
_KEPT = timedelta(days=1)
_OFF = frozenset({"", "off", "crashed", "saved"})


@dataclass(frozen=True, slots=True)
class Standing:
    """What one who looks may do now, and who is there with them."""

    may_take: bool
    types: bool
    people: tuple[tuple[str, str, bool], ...]
    """Of each the console's UUID, the user's name and whether they type."""


def offer_console(actor: Actor, uuid: UUID | str, *, kind: str, holder: str) -> tuple[Console, str]:
    """A console that may be opened once, within `LASTS`, by the same session or token (`holder`);
    and the ticket that does it, which is not kept. Whoever may see a VM may look at its consoles.
    """
    if kind not in Console.Kind.values:
        raise Invalid(f"A console is one of {', '.join(Console.Kind.values)}.", field="kind")
    with transaction.atomic():
        vm = get_for(actor.user, Vm, uuid)
        _refuse(actor, vm)
        now = timezone.now()
        Console.objects.filter(user=actor.user, created_at__lt=now - _KEPT).delete()
        ticket = secrets.token_urlsafe(32)
        console = Console.objects.create(
            vm=vm,
            user=actor.user,
            kind=kind,
            digest=_digest(ticket),
            holder=holder,
            source=actor.source,
            token=actor.token,
            expires_at=now + LASTS,
        )
    return console, ticket


def open_console(user: User, ticket: str, *, holder: str) -> Console:
    """The console of a ticket, which is used up. Raises NotFound for one that is unknown, used, too
    old, or another's. Who may change the VM types, unless somebody does already.
    """
    with transaction.atomic():
        now = timezone.now()
        rows = Console.objects.filter(digest=_digest(ticket), user=user, holder=holder)
        used = rows.filter(opened_at=None, expires_at__gt=now).update(opened_at=now, seen_at=now)
        if not used:
            raise NotFound("This ticket is used up, too old or not yours.", code="no_such_ticket")
        console = rows.select_related("user", "vm__project", "vm__host").get()
        get_for(user, Vm, console.vm.uuid, lock=True)
        if _may_type(user, console) and not _is_controlled(console):
            _give_control(console)
        actor = Actor(user, source=console.source, token=console.token)
        audit(
            actor,
            "vm.open_console",
            console.vm,
            project=console.vm.project,
            kind=console.kind,
            console=str(console.uuid),
        )
    return console


def take_console(actor: Actor, uuid: UUID | str, *, console: UUID | str) -> Console:
    """Type at a console that the actor has open, instead of who did."""
    with transaction.atomic():
        vm = get_for(actor.user, Vm, uuid, write=True, lock=True)
        found = get_for(actor.user, Console, console)
        if found.user_id != actor.user.pk or found.vm_id != vm.pk:
            raise Forbidden("Only your own consoles can be yours to type at.", field="console")
        if not Console.objects.open().filter(pk=found.pk).exists():
            raise Conflict("This console is not open any more.", code="not_open", field="console")
        if not found.has_control:
            _give_control(found)
            audit(
                actor,
                "vm.take_console",
                vm,
                project=vm.project,
                kind=found.kind,
                console=str(found.uuid),
            )
            tell_others(found)
    return found


def standing(console: Console) -> Standing:
    """How it stands now; notes that the console is still looked at. Raises NotFound once its user
    may not see the VM, or the VM goes."""
    user = console.user
    vm = get_for(user, Vm, console.vm.uuid)
    if not vm.present or vm.goes_at is not None:
        raise NotFound("The VM is gone.")
    if not Console.objects.filter(pk=console.pk, ended_at=None).update(seen_at=timezone.now()):
        raise NotFound("The console was ended.")
    there = Console.objects.open().beside(console).select_related("user").order_by("opened_at")
    people = tuple((str(one.uuid), one.user.get_username(), one.has_control) for one in there)
    may_type = _may_type(user, console)
    types = may_type and (str(console.uuid), user.get_username(), True) in people
    return Standing(may_take=may_type, types=types, people=people)


def end_console(console: Console) -> None:
    """Nobody looks at it any more; who types next is free."""
    Console.objects.filter(pk=console.pk, ended_at=None).update(
        ended_at=timezone.now(), has_control=False
    )
    tell_others(console)


def group_of(console: Console) -> str:
    """The group of all sockets that show the same."""
    return f"console.{console.vm_id}.{console.kind}"


def tell_others(console: Console) -> None:
    """After the commit, have all who look at the same find out how it stands."""
    transaction.on_commit(lambda: announce([group_of(console)], {"type": "changed"}))


def consoles_of(vm: Vm) -> list[Console]:
    """The consoles of a VM that are open, those longest open first."""
    return list(vm.consoles.open().select_related("user").order_by("opened_at"))


def session_holder(session_key: str) -> str:
    """A session as the holder of a ticket, without what would open it."""
    return f"session:{_digest(session_key)}"


def token_holder(uuid: UUID) -> str:
    return f"token:{uuid}"


def _refuse(actor: Actor, vm: Vm) -> None:
    if not vm.present or vm.goes_at is not None:
        raise Conflict(f"VM “{vm}” is on its way out.", code="deleting")
    if vm.power_state in _OFF:
        raise Conflict(f"VM “{vm}” is off.", code="vm_off", remedy="Start it first.")
    if Console.objects.open().filter(user=actor.user).count() >= MOST:
        raise Conflict(
            f"You have {MOST} consoles open, which is as many as one may.",
            code="too_many_consoles",
            remedy="Close some of them.",
        )


def _may_type(user: User, console: Console) -> bool:
    return Vm.objects.writable_by(user).filter(pk=console.vm_id).exists()


def _is_controlled(console: Console) -> bool:
    return Console.objects.open().beside(console).filter(has_control=True).exists()


def _give_control(console: Console) -> None:
    """Under the VM's lock; whoever had it has it no more, also a process that has died."""
    held = Console.objects.beside(console).filter(has_control=True)
    held.update(has_control=False)
    console.has_control = True
    console.save(update_fields=["has_control"])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
