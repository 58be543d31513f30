"""Switching VMs: what should be, and fresh starts, which are counted.

What a guest or the host did on its own is taken for what is wanted by any other change of the VM:
who resizes a guest that was shut down from inside does not mean to start it.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from kvmweb.core.access import get_for
from kvmweb.core.errors import Conflict
from kvmweb.hosts.ask import tell
from kvmweb.jobs.dispatch import request
from kvmweb.jobs.models import Job, Status
from kvmweb.projects.actions import Actor, audit
from vms.models import Vm

_UNDER_WAY = frozenset({"running", "paused"})
_SETTLED = {
    "running": Vm.Power.ON,
    "paused": Vm.Power.PAUSED,
    "saved": Vm.Power.SAVED,
    "off": Vm.Power.OFF,
    "crashed": Vm.Power.OFF,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What one button means: its verb, the action in the audit log, what the guest has to be."""

    verb: str
    audit: str
    power: str
    force: bool = False
    boots: bool = False
    only: frozenset[str] = frozenset()


_RESUME = _Wish(verb="Resume", audit="resume", power=Vm.Power.ON, only=frozenset({"paused"}))
_REBOOT = _Wish(verb="Reboot", audit="reboot", power=Vm.Power.ON, boots=True, only=_UNDER_WAY)
_RESET = _Wish(
    verb="Reset", audit="reset", power=Vm.Power.ON, force=True, boots=True, only=_UNDER_WAY
)
_WISHES = {
    (Vm.Power.ON, False): _Wish(verb="Start", audit="start", power=Vm.Power.ON),
    (Vm.Power.OFF, False): _Wish(verb="Stop", audit="stop", power=Vm.Power.OFF),
    (Vm.Power.OFF, True): _Wish(
        verb="Force off", audit="force_off", power=Vm.Power.OFF, force=True
    ),
    (Vm.Power.PAUSED, False): _Wish(
        verb="Pause", audit="pause", power=Vm.Power.PAUSED, only=_UNDER_WAY
    ),
    (Vm.Power.SAVED, False): _Wish(
        verb="Save", audit="save", power=Vm.Power.SAVED, only=_UNDER_WAY
    ),
}


def set_power(actor: Actor, uuid: UUID | str, power: str, *, force: bool = False) -> Vm:
    """What a VM should be: on, off (asked by ACPI, or with `force` by pulling the plug), paused, or
    saved to disk. Starting one that runs takes back a stop or reboot that it did not follow.
    """
    return _ask(actor, uuid, _WISHES[Vm.Power(power), force and power == Vm.Power.OFF])


def resume_vm(actor: Actor, uuid: UUID | str) -> Vm:
    """Let a paused guest go on."""
    return _ask(actor, uuid, _RESUME)


def restart_vm(actor: Actor, uuid: UUID | str, *, force: bool = False) -> Vm:
    """Start a running guest afresh: it is asked to shut down first, or with `force` cut off.

    It comes back with everything that waited for its next start.
    """
    return _ask(actor, uuid, _RESET if force else _REBOOT)


def settle(vm: Vm) -> None:
    """Want what there is, where nothing is under way: another change is not to switch the VM."""
    if vm.is_busy or vm.power_state not in _SETTLED:
        return
    vm.power, vm.force, vm.boots = _SETTLED[vm.power_state], False, vm.boots_done
    vm.save(update_fields=["power", "force", "boots"])


def hurry(vm: Vm) -> None:
    """Let what was just asked for not wait until a guest has shut down, or not, in its own time.

    Call it after `request`. Without the host's hearing it, it waits as anything does.
    """
    subject = {"subject": str(vm.uuid), "generation": vm.generation}
    running = Job.objects.of(Vm.kind, vm.uuid).filter(status=Status.RUNNING, only_checks=False)
    if running.exists():
        transaction.on_commit(lambda: tell(vm.host, "hurry vm", subject))


def locked_vm(actor: Actor, uuid: UUID | str, *, in_bin: bool = False) -> Vm:
    """The VM under its row lock, for a change. Raises Conflict when it is on its way out.

    With `in_bin` one in the recycle bin will do.
    """
    vm = get_for(actor.user, Vm, uuid, write=True, lock=True)
    if not vm.present:
        raise Conflict(f"VM “{vm}” is being deleted.", code="deleting")
    if vm.goes_at is not None and not in_bin:
        raise Conflict(
            f"VM “{vm}” is in the recycle bin.", code="in_bin", remedy="Take it back first."
        )
    return vm


def _ask(actor: Actor, uuid: UUID | str, wish: _Wish) -> Vm:
    with transaction.atomic():
        vm = locked_vm(actor, uuid)
        _refuse(vm, wish)
        vm.power, vm.force = wish.power, wish.force
        vm.boots = vm.boots_done + 1 if wish.boots else vm.boots_done
        vm.save(update_fields=["power", "force", "boots"])
        job = request(actor, vm, f"{wish.verb} VM {vm}")
        hurry(vm)
        audit(actor, f"vm.{wish.audit}", vm, project=vm.project, job=job.uuid)
    return vm


def _refuse(vm: Vm, wish: _Wish) -> None:
    if wish.power == Vm.Power.ON and (clone := _clone_under_way(vm)):
        raise Conflict(
            f"VM “{vm}” is being copied to “{clone}”, which needs it to stay off.",
            code="being_cloned",
            remedy=f"Wait until that is done, or delete “{clone}”.",
        )
    if wish.only and vm.power_state not in wish.only:
        need = "paused" if wish is _RESUME else "running"
        raise Conflict(f"VM “{vm}” is not {need}.", code=f"not_{need}", remedy="Look at its state.")
    if vm.power_state == "saved" and wish.power == Vm.Power.OFF and not wish.force:
        raise Conflict(
            f"VM “{vm}” is off already, with its memory saved to disk.",
            code="saved",
            remedy="Start it to go on, or force it off to drop what is saved.",
        )


def _clone_under_way(vm: Vm) -> Vm | None:
    """A VM whose disks are still to be copied from this one's."""
    copies = Vm.objects.filter(disks__copied_from__vm=vm, applied_generation=0, present=True)
    return copies.first()
