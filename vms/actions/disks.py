"""Disks of a VM: more of them, larger ones, fewer."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from kvmweb.core.errors import Conflict, Invalid
from kvmweb.jobs.dispatch import request
from kvmweb.projects.actions import Actor, audit
from vms.actions.power import locked_vm, settle
from vms.actions.vms import LARGEST_DISK_GIB
from vms.models import Disk, Vm

MOST_DISKS = 16


def add_disk(actor: Actor, uuid: UUID | str, *, size_gib: int) -> Vm:
    """One more disk, empty; a running guest gets it at once where it has a free port."""
    with transaction.atomic():
        vm = _changeable(actor, uuid)
        if vm.disks.count() >= MOST_DISKS:
            raise Conflict(f"A VM has at most {MOST_DISKS} disks.", code="too_many_disks")
        _refuse_size(size_gib, 1)
        disk = Disk.objects.create(vm=vm, size_gib=size_gib)
        return _changed(actor, vm, f"Add a disk to VM {vm}", "vm.add_disk", disk)


def grow_disk(actor: Actor, uuid: UUID | str, *, disk: UUID | str, size_gib: int) -> Vm:
    """Enlarge a disk, of a running guest too; what is on it has to be grown by the guest."""
    with transaction.atomic():
        vm = _changeable(actor, uuid)
        found = _disk(vm, disk)
        _refuse_size(size_gib, found.size_gib)
        found.size_gib = size_gib
        found.save(update_fields=["size_gib"])
        return _changed(actor, vm, f"Enlarge a disk of VM {vm}", "vm.grow_disk", found)


def remove_disk(actor: Actor, uuid: UUID | str, *, disk: UUID | str) -> Vm:
    """Take a disk away; its data goes when the guest is off. The first one stays."""
    with transaction.atomic():
        vm = _changeable(actor, uuid)
        found = _disk(vm, disk)
        if found.pk == vm.disks.all()[0].pk:
            raise Conflict(
                "The VM starts from its first disk.",
                field="disk",
                code="first_disk",
                remedy="Delete the VM if it is no longer needed.",
            )
        _refuse_kept(vm, found)
        found.delete()
        return _changed(actor, vm, f"Remove a disk of VM {vm}", "vm.remove_disk", found)


def _refuse_kept(vm: Vm, disk: Disk) -> None:
    """A snapshot without one of its disks would be none."""
    kept = [snapshot.name for snapshot in vm.snapshots.present() if snapshot.covers(disk)]
    if kept:
        raise Conflict(
            f"The disk is part of {len(kept)} snapshots of the VM, the first “{kept[0]}”.",
            field="disk",
            code="in_snapshots",
            remedy="Delete these snapshots first.",
        )


def _changeable(actor: Actor, uuid: UUID | str) -> Vm:
    vm = locked_vm(actor, uuid)
    settle(vm)
    return vm


def _disk(vm: Vm, uuid: UUID | str) -> Disk:
    found = next((disk for disk in vm.disks.all() if str(disk.uuid) == str(uuid)), None)
    if found is None:
        raise Invalid("This VM has no such disk.", field="disk", code="no_such_disk")
    return found


def _refuse_size(size_gib: int, least: int) -> None:
    if not least <= size_gib <= LARGEST_DISK_GIB:
        raise Invalid(
            f"This disk may have {least} to {LARGEST_DISK_GIB} GiB.",
            field="size_gib",
            remedy="A disk is never made smaller: that would lose data." if least > 1 else "",
        )


def _changed(actor: Actor, vm: Vm, title: str, action: str, disk: Disk) -> Vm:
    job = request(actor, vm, title)
    audit(
        actor,
        action,
        vm,
        project=vm.project,
        job=job.uuid,
        disk=str(disk.uuid),
        size_gib=disk.size_gib,
    )
    return vm
