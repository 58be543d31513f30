"""Flavours: what operators ask of them, and what VMs take from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from kvmweb.core.access import get_for, is_operator
from kvmweb.core.errors import Conflict, Forbidden, Invalid, NotFound
from kvmweb.projects.actions import Actor, audit
from kvmweb.projects.models import Project
from vms.models import Flavour

LONGEST_NAME = 40
_MOST = {"vcpus": 64, "memory_mib": 16 * 1024 * 1024, "disk_gib": 16_384}
_LEAST = {"vcpus": 1, "memory_mib": 64, "disk_gib": 1}


def create_flavour(
    actor: Actor,
    *,
    name: str,
    vcpus: int,
    memory_mib: int,
    disk_gib: int,
    projects: Sequence[UUID | str] = (),
) -> Flavour:
    """A size to be chosen for VMs, by everybody or in these projects. Operators only."""
    if not is_operator(actor.user):
        raise Forbidden("Only operators offer flavours.")
    with transaction.atomic():
        size = {"vcpus": vcpus, "memory_mib": memory_mib, "disk_gib": disk_gib}
        _refuse_size(size)
        made = Flavour.objects.create(name=_free_name(name), **size)
        made.projects.set(_projects(projects))
        audit(actor, "flavour.create", made, project=None, size=size)
    return made


def change_flavour(
    actor: Actor,
    uuid: UUID | str,
    *,
    name: str | None = None,
    projects: Sequence[UUID | str] | None = None,
    **size: int,
) -> Flavour:
    """VMs that were made of it keep their size."""
    with transaction.atomic():
        found = get_for(actor.user, Flavour, uuid, write=True, lock=True)
        before = {field: getattr(found, field) for field in ("name", *_LEAST)}
        _refuse_size(size)
        for field, value in size.items():
            setattr(found, field, value)
        if name is not None and name.strip() != found.name:
            found.name = _free_name(name)
        found.save()
        if projects is not None:
            found.projects.set(_projects(projects))
        audit(actor, "flavour.change", found, project=None, before=before)
    return found


def delete_flavour(actor: Actor, uuid: UUID | str) -> Flavour:
    """Offer it no longer; VMs that were made of it keep their size."""
    with transaction.atomic():
        gone = get_for(actor.user, Flavour, uuid, write=True, lock=True)
        audit(actor, "flavour.delete", gone, project=None)
        gone.delete()
    return gone


def chosen_flavour(
    actor: Actor, uuid: UUID | str | None, project: Project, *, needed: bool
) -> Flavour | None:
    """The flavour of this UUID, if it may be used in the project; None where none was asked for.

    Raises Invalid also when one is `needed` but none was chosen, and only flavours are offered.
    """
    if not uuid:
        if needed and is_limited(actor):
            raise Invalid(
                "VMs here have the size of a flavour.",
                field="flavour",
                code="flavour_needed",
                remedy="Choose one of those listed.",
            )
        return None
    try:
        found = get_for(actor.user, Flavour, uuid)
    except NotFound as error:
        raise Invalid(error.message, field="flavour", code="no_such_flavour") from error
    if not Flavour.objects.usable_in(project).filter(pk=found.pk).exists():
        raise Invalid(
            f"Flavour {found} is not for this project.", field="flavour", code="no_such_flavour"
        )
    return found


def is_limited(actor: Actor) -> bool:
    """Whether the actor takes flavours alone."""
    return bool(settings.KVMWEB_FLAVOURS_ONLY) and not is_operator(actor.user)


def _free_name(text: str) -> str:
    name = text.strip()
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or set("<>") & set(name):
        raise Invalid(
            f"A flavour's name has 1 to {LONGEST_NAME} characters, none of them < or >.",
            field="name",
            code="invalid_name",
        )
    if Flavour.objects.filter(name=name).exists():
        raise Conflict(f"There is a flavour “{name}”.", field="name", code="name_taken")
    return name


def _refuse_size(size: dict[str, int]) -> None:
    for field, value in size.items():
        if not _LEAST[field] <= value <= _MOST[field]:
            raise Invalid(f"This is {_LEAST[field]} to {_MOST[field]}.", field=field)


def _projects(uuids: Sequence[UUID | str]) -> list[Any]:
    wanted = {str(uuid) for uuid in uuids}
    found = list(Project.objects.filter(uuid__in=wanted))
    if len(found) != len(wanted):
        raise Invalid("There is no such project.", field="projects", code="no_such_project")
    return found
