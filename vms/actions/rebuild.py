"""Rebuilding a VM: another image on a new first disk, under the same name and address."""

from __future__ import annotations

from uuid import UUID, uuid4

from django.db import transaction

from kvmweb.core.access import get_for
from kvmweb.core.errors import Conflict, Invalid
from kvmweb.jobs.dispatch import request
from kvmweb.projects.actions import Actor, audit
from vms.actions.fitting import chosen_image, refuse_size
from vms.actions.power import hurry, locked_vm
from vms.models import Vm


def rebuild_vm(actor: Actor, uuid: UUID | str, *, image: UUID | str, name: str) -> Vm:
    """Cut the guest off, delete its first disk for good and start from `image` on a new one.

    Name, size, addresses, forwards and other disks stay; keys, password and user-data are given
    anew. `name` is the VM's, so that nobody rebuilds another one than they mean.
    """
    with transaction.atomic():
        found = chosen_image(actor, image, get_for(actor.user, Vm, uuid, write=True).project)
        vm = locked_vm(actor, uuid)
        _refuse(vm, name)
        refuse_size(vm.host, vm.vcpus, vm.memory_mib, found)
        before = str(vm.image)
        disk = vm.disks.all()[0]
        old, new = str(disk.uuid), uuid4()
        vm.boot_order = [str(new) if each == old else each for each in vm.boot_order]
        disk.uuid, disk.image, disk.copied_from = new, found, None
        disk.size_gib = max(disk.size_gib, found.min_disk_gib)
        disk.save()
        vm.image = found
        vm.power, vm.force, vm.boots = Vm.Power.ON, True, vm.boots_done + 1
        vm.save(update_fields=["image", "boot_order", "power", "force", "boots"])
        job = request(actor, vm, f"Rebuild VM {vm}")
        hurry(vm)
        audit(
            actor,
            "vm.rebuild",
            vm,
            project=vm.project,
            job=job.uuid,
            image=str(found),
            before=before,
        )
    return vm


def _refuse(vm: Vm, name: str) -> None:
    if name.strip() != vm.name:
        raise Invalid(
            "Rebuilding loses what is on the first disk, so the VM's name is asked for.",
            field="name",
            code="not_confirmed",
            remedy=f"Give “{vm.name}” if you mean this VM.",
        )
    kept = [each.name for each in vm.snapshots.present() if each.covers(vm.disks.all()[0])]
    if kept:
        raise Conflict(
            f"Its first disk is part of {len(kept)} snapshots of the VM, the first “{kept[0]}”.",
            code="in_snapshots",
            remedy="Delete these snapshots first.",
        )
    if vm.rescue is not None:
        raise Conflict(
            f"VM “{vm}” is being rescued.", code="in_rescue", remedy="End the rescue first."
        )
    if vm.power_state == "saved":
        raise Conflict(
            f"VM “{vm}” is saved to disk, and what is saved needs its first disk.",
            code="saved",
            remedy="Start it, or force it off to drop what is saved.",
        )
