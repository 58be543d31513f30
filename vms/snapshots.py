"""Rows of a VM's snapshots -> what its host is told; and what the host saw of them -> rows."""

from __future__ import annotations

from django.utils import timezone

from kvmweb.host.progress import Outcome
from vms.host.spec import BackSpec, SnapshotSpec
from vms.models import Snapshot, Vm


def specs(vm: Vm) -> tuple[SnapshotSpec, ...]:
    return tuple(
        SnapshotSpec(
            id=str(snapshot.uuid),
            name=snapshot.name,
            disks=tuple(snapshot.disks),
            memory=snapshot.memory,
            taken=snapshot.taken_at is not None,
        )
        for snapshot in vm.snapshots.on_host()
    )


def back_spec(vm: Vm) -> BackSpec | None:
    """Where it is to go back to, until that is done or has failed."""
    if vm.back_to is None or vm.backs <= vm.backs_done:
        return None
    return BackSpec(
        count=vm.backs,
        snapshot=str(vm.back_to.uuid),
        name=vm.back_to.name,
        disks=tuple(vm.back_to.disks),
        memory=vm.back_with_memory,
    )


def note(vm: Vm, outcome: Outcome) -> None:
    """What the host has of them; without a word about it nothing is known."""
    seen = outcome.observed.get("snapshots")
    if seen is None:
        return
    for snapshot in vm.snapshots.all():
        found = seen.get(str(snapshot.uuid))
        if found is not None:
            _note_found(vm, snapshot, found)
        elif not snapshot.present and snapshot.since <= outcome.generation and outcome.ok:
            _forget(vm, snapshot)
        elif snapshot.present and snapshot.taken_at and not snapshot.lost:
            snapshot.lost = True
            snapshot.save(update_fields=["lost"])
    _note_back(vm, int(outcome.observed.get("backs", 0)))
    vm.foreign_snapshots = list(outcome.observed.get("foreign_snapshots", ()))
    vm.disk_bytes = outcome.observed.get("disk_bytes")
    vm.memory_bytes = int(outcome.observed.get("memory_bytes", 0))
    vm.save(update_fields=["foreign_snapshots", "disk_bytes", "memory_bytes"])


def _note_found(vm: Vm, snapshot: Snapshot, found: dict[str, int]) -> None:
    if snapshot.taken_at is None:
        snapshot.taken_at = timezone.now()
        vm.at_snapshot = snapshot
        vm.save(update_fields=["at_snapshot"])
    snapshot.has_memory, snapshot.memory_bytes = bool(found["memory"]), found["memory_bytes"]
    snapshot.lost, snapshot.problem = False, ""
    snapshot.save(update_fields=["taken_at", "has_memory", "memory_bytes", "lost", "problem"])


def _forget(vm: Vm, snapshot: Snapshot) -> None:
    """What stood on it stands on what it stood on."""
    snapshot.children.update(parent=snapshot.parent)
    if vm.at_snapshot_id == snapshot.pk:
        vm.at_snapshot = snapshot.parent
        vm.save(update_fields=["at_snapshot"])
    snapshot.delete()


def _note_back(vm: Vm, backs: int) -> None:
    if backs <= vm.backs_done:
        return
    vm.backs_done = backs
    if backs == vm.backs and vm.back_to_id:
        vm.at_snapshot, vm.back_to = vm.back_to, None
    vm.save(update_fields=["backs_done", "at_snapshot", "back_to"])


def give_up(vm: Vm, outcome: Outcome) -> None:
    """After a failed job: what was not taken needs to be asked for anew, going back too."""
    waiting = vm.snapshots.present().filter(taken_at=None, problem="")
    waiting.update(problem=outcome.message[:500] or "It was not taken.")
    if vm.back_to_id is not None:
        vm.back_to = None
        vm.save(update_fields=["back_to"])
