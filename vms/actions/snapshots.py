"""Snapshots of a VM: taken, gone back to, deleted."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from kvmweb.core.access import get_for
from kvmweb.core.errors import Conflict, Invalid, NotFound
from kvmweb.jobs.dispatch import request
from kvmweb.projects.actions import Actor, audit
from vms.actions.power import locked_vm, settle
from vms.models import Nic, Snapshot, Vm

MOST_SNAPSHOTS = 64
LONGEST_NAME = 63
_WITH_MEMORY = frozenset({"running", "paused"})


def take_snapshot(
    actor: Actor, *, vm: UUID | str, name: str, memory: bool = True, note: str = ""
) -> Snapshot:
    """Of all disks at one moment; with `memory` also of the guest, if it runs, which then stands
    still while its memory is written."""
    label = _parse_name(name)
    with transaction.atomic():
        found = _vm(actor, vm)
        return take(actor, found, label, memory=memory, note=note)


def take(
    actor: Actor | None,
    vm: Vm,
    name: str,
    *,
    memory: bool,
    note: str = "",
    scheduled: bool = False,
) -> Snapshot:
    """In the caller's transaction, with the VM locked; `name` is one already."""
    refuse_busy(vm)
    if vm.power_state == "saved":
        raise Conflict(
            f"VM “{vm}” is saved to disk; its disks alone would not fit its memory.",
            code="saved",
            remedy="Start it, or force it off to drop what is saved.",
        )
    _refuse_name(vm, name)
    settle(vm)
    runs = vm.power_state in _WITH_MEMORY
    _refuse_low_space(vm, vm.memory_mib if memory and runs else 0)
    snapshot = Snapshot.objects.create(
        vm=vm,
        name=name,
        note=note,
        parent=vm.at_snapshot,
        disks=[str(disk.uuid) for disk in vm.disks.all()],
        macs=macs_of(vm),
        memory=memory and runs,
        scheduled=scheduled,
        since=vm.generation + 1,
    )
    job = request(actor, vm, f"Take snapshot {name} of VM {vm}")
    audit(
        actor,
        "vm.snapshot",
        vm,
        project=vm.project,
        job=job.uuid,
        snapshot=name,
        memory=snapshot.memory,
    )
    return snapshot


def go_back(actor: Actor, uuid: UUID | str, *, memory: bool = True) -> Snapshot:
    """Bring the VM's disks back to a snapshot; what was written since is lost.

    With `memory`, where the snapshot has one, the guest goes on as it was. Without it a guest that
    runs is cut off and started from its disks; one that is off stays so.
    """
    with transaction.atomic():
        snapshot = _locked(actor, uuid)
        vm = snapshot.vm
        refuse_busy(vm)
        if not snapshot.is_usable:
            raise Conflict(f"Snapshot “{snapshot}” is not there to go back to.", code="not_taken")
        with_memory = memory and snapshot.has_memory
        if with_memory:
            _refuse_other_nics(vm, snapshot)
        settle(vm)
        vm.power, vm.force = _power_after(vm, with_memory=with_memory), False
        vm.backs = max(vm.backs, vm.backs_done) + 1
        vm.back_to, vm.back_with_memory = snapshot, with_memory
        vm.save(update_fields=["power", "force", "backs", "back_to", "back_with_memory"])
        job = request(actor, vm, f"Bring VM {vm} back to snapshot {snapshot}")
        audit(
            actor,
            "vm.go_back",
            vm,
            project=vm.project,
            job=job.uuid,
            snapshot=str(snapshot),
            memory=with_memory,
        )
    return snapshot


def delete_snapshot(actor: Actor, uuid: UUID | str) -> Snapshot:
    """Delete a snapshot; the VM's disks, and the other snapshots, stay as they are."""
    with transaction.atomic():
        snapshot = _locked(actor, uuid)
        if snapshot.vm.back_to_id == snapshot.pk:
            raise Conflict(
                f"VM “{snapshot.vm}” is going back to this snapshot.",
                code="in_use",
                remedy="Wait until it has.",
            )
        return drop(actor, snapshot)


def drop(actor: Actor | None, snapshot: Snapshot) -> Snapshot:
    """In the caller's transaction, with its VM locked."""
    vm = snapshot.vm
    settle(vm)
    snapshot.present, snapshot.since = False, vm.generation + 1
    snapshot.save(update_fields=["present", "since"])
    job = request(actor, vm, f"Delete snapshot {snapshot} of VM {vm}")
    audit(
        actor,
        "vm.delete_snapshot",
        vm,
        project=vm.project,
        job=job.uuid,
        snapshot=str(snapshot),
    )
    return snapshot


def refuse_busy(vm: Vm) -> None:
    """What stands for one moment of a VM is not asked for while that is being changed."""
    if vm.is_busy or not vm.applied_generation:
        raise Conflict(
            f"VM “{vm}” is being changed.",
            code="busy",
            remedy="Wait until that is done, then ask again.",
        )


def macs_of(vm: Vm) -> list[str]:
    nics = Nic.objects.present().filter(vm=vm)
    return sorted(nics.values_list("reservation__mac", flat=True))


def _power_after(vm: Vm, *, with_memory: bool) -> str:
    if with_memory:
        return Vm.Power.ON
    return Vm.Power.OFF if vm.power in {Vm.Power.OFF, Vm.Power.SAVED} else Vm.Power.ON


def _vm(actor: Actor, uuid: UUID | str) -> Vm:
    """The VM that a body names."""
    try:
        return locked_vm(actor, uuid)
    except NotFound as error:
        raise Invalid("There is no such VM.", field="vm", code="no_such_vm") from error


def _locked(actor: Actor, uuid: UUID | str) -> Snapshot:
    """The snapshot under its VM's lock."""
    known = get_for(actor.user, Snapshot, uuid, write=True)
    vm = locked_vm(actor, known.vm.uuid)
    snapshot = get_for(actor.user, Snapshot, uuid, write=True)
    snapshot.vm = vm
    if not snapshot.present:
        raise Conflict(f"Snapshot “{snapshot}” is being deleted.", code="deleting")
    return snapshot


def _parse_name(text: str) -> str:
    name = " ".join(text.split())
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise Invalid(
            f"A snapshot's name has 1 to {LONGEST_NAME} printable characters.", field="name"
        )
    return name


def _refuse_name(vm: Vm, name: str) -> None:
    kept = vm.snapshots.present()
    if kept.filter(name=name).exists():
        raise Conflict(
            f"VM “{vm}” has a snapshot “{name}” already.",
            field="name",
            code="name_taken",
            remedy="Choose another name, or delete that one first.",
        )
    if kept.count() >= MOST_SNAPSHOTS:
        raise Conflict(
            f"A VM has at most {MOST_SNAPSHOTS} snapshots.",
            code="too_many_snapshots",
            remedy="Delete those that are no longer needed.",
        )


def _refuse_low_space(vm: Vm, memory_mib: int) -> None:
    """As far as the host has said; it looks itself once more before it begins."""
    free, needed = vm.host.facts.get("disk_free_gib"), memory_mib / 1024 + 1
    if free is not None and free < needed:
        raise Conflict(
            f"The host has {free:.1f} GiB free; this may need {needed:.1f} GiB, 1 GiB of it for "
            "guests to go on writing.",
            code="low_space",
            remedy="Delete snapshots or VMs that are no longer needed, or leave out the memory.",
        )


def _refuse_other_nics(vm: Vm, snapshot: Snapshot) -> None:
    """The memory knows the NICs the guest had; it cannot be resumed without them."""
    if set(snapshot.macs) - set(macs_of(vm)):
        raise Conflict(
            f"VM “{vm}” has lost a NIC that it had in snapshot “{snapshot}”, so the guest cannot "
            "go on from its memory.",
            field="memory",
            code="other_nics",
            remedy="Go back without memory: the guest then starts from its disks.",
        )
