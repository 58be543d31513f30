"""ISOs in and out, the order of boot, and starting from a rescue system."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction

from kvmweb.core.access import get_for
from kvmweb.core.errors import Conflict, Invalid
from kvmweb.jobs.dispatch import request
from kvmweb.projects.actions import Actor, audit
from vms.actions.fitting import chosen_image
from vms.actions.power import hurry, locked_vm, settle
from vms.models import Image, Vm

DRIVE = "cdrom"


def insert_iso(actor: Actor, uuid: UUID | str, *, image: UUID | str) -> Vm:
    """Put an ISO into the VM's drive, at once where the guest that runs has one; else the drive
    comes at its next start.
    """
    with transaction.atomic():
        found = _iso(actor, uuid, image)
        vm = _changeable(actor, uuid)
        vm.iso, vm.has_drive = found, True
        return _changed(actor, vm, f"Insert {found} into VM {vm}", "vm.insert_iso", iso=str(found))


def eject_iso(actor: Actor, uuid: UUID | str) -> Vm:
    """Empty the VM's drive, at once. The drive stays."""
    with transaction.atomic():
        vm = _changeable(actor, uuid)
        if vm.iso is None:
            raise Conflict(f"There is nothing in the drive of VM “{vm}”.", code="drive_empty")
        gone, vm.iso = str(vm.iso), None
        return _changed(actor, vm, f"Eject {gone} from VM {vm}", "vm.eject_iso", iso=gone)


def set_boot_order(actor: Actor, uuid: UUID | str, *, order: Sequence[str]) -> Vm:
    """Which of its disks and NICs, by their ids, and of “cdrom” are tried first when it starts."""
    with transaction.atomic():
        vm = _changeable(actor, uuid)
        wanted = [str(each) for each in order]
        known = vm.bootable
        if not wanted or len(set(wanted)) != len(wanted) or not set(wanted) <= known.keys():
            raise Invalid(
                "Name devices of this VM, each once.",
                field="order",
                code="no_such_device",
                remedy=f"It has {', '.join(known)}.",
            )
        vm.boot_order = wanted
        vm.has_drive = vm.has_drive or DRIVE in wanted
        title = f"Change the boot order of VM {vm}"
        return _changed(actor, vm, title, "vm.boot_order", order=wanted)


def begin_rescue(actor: Actor, uuid: UUID | str, *, image: UUID | str, force: bool = False) -> Vm:
    """Start from another image, or from an ISO, with the VM's disks attached behind it.

    What the rescue system writes to its own disk is gone when it ends.
    """
    with transaction.atomic():
        seen = get_for(actor.user, Vm, uuid, write=True)
        found = chosen_image(actor, image, seen.project, iso=None)
        vm = _changeable(actor, uuid)
        if vm.rescue is not None:
            raise Conflict(f"VM “{vm}” is being rescued already.", code="in_rescue")
        vm.rescue, vm.rescue_disk = found, uuid4()
        vm.has_drive = vm.has_drive or found.is_iso
        vm.force = force
        return _restarted(actor, vm, f"Rescue VM {vm}", "vm.begin_rescue", image=str(found))


def end_rescue(actor: Actor, uuid: UUID | str, *, force: bool = False) -> Vm:
    """Start from the VM's own disks again."""
    with transaction.atomic():
        vm = _changeable(actor, uuid)
        if vm.rescue is None:
            raise Conflict(f"VM “{vm}” is not being rescued.", code="not_in_rescue")
        vm.rescue, vm.rescue_disk = None, None
        vm.force = force
        return _restarted(actor, vm, f"End the rescue of VM {vm}", "vm.end_rescue")


def _iso(actor: Actor, uuid: UUID | str, image: UUID | str) -> Image:
    return chosen_image(actor, image, get_for(actor.user, Vm, uuid, write=True).project, iso=True)


def _changeable(actor: Actor, uuid: UUID | str) -> Vm:
    vm = locked_vm(actor, uuid)
    settle(vm)
    return vm


_FIELDS = ("iso", "has_drive", "boot_order", "rescue", "rescue_disk", "power", "force", "boots")


def _changed(actor: Actor, vm: Vm, title: str, action: str, **data: Any) -> Vm:
    vm.save(update_fields=_FIELDS)
    job = request(actor, vm, title)
    audit(actor, action, vm, project=vm.project, job=job.uuid, **data)
    return vm


def _restarted(actor: Actor, vm: Vm, title: str, action: str, **data: Any) -> Vm:
    if vm.power_state == "saved":
        raise Conflict(
            f"VM “{vm}” is saved to disk.",
            code="saved",
            remedy="Start it, or force it off to drop what is saved.",
        )
    # A device is named first, so that the definition is told what to start from afterwards too.
    vm.boot_order = vm.boot_order or [str(vm.disks.all()[0].uuid)]
    vm.power, vm.boots = Vm.Power.ON, vm.boots_done + 1
    changed = _changed(actor, vm, title, action, **data)
    hurry(changed)
    return changed
