"""Snapshots in a VM's plan: taken, dropped, gone back to. Pure.

A snapshot of a VM is an internal snapshot of each of its disks and, where the guest ran and that
was wanted, a file with its memory, written while the guest stood still. One that is whole stays as
it is; of one that is not, the parts are dropped and it is taken anew. Only what carries our prefix
is ours: what others took by hand in the same disks is left alone.

Going back happens once per count (`BackSpec.count`), which is noted in the VM's folder when done.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from kvmweb.core.errors import HostError
from vms.host import domain_xml
from vms.host.layout import BACK, FROZEN, Layout, memory_of, snapshot_name, snapshot_of
from vms.host.ops import (
    DestroyDomain,
    DiscardSaved,
    DropSnapshot,
    GoBack,
    GrowLiveDisk,
    NoteBack,
    Op,
    PauseDomain,
    RestoreMemory,
    ResumeDomain,
    SaveMemory,
    SnapshotDisks,
    ThawGuest,
)
from vms.host.room import refuse_low_space
from vms.host.spec import BackSpec, SnapshotSpec, VmSpec
from vms.host.state import VmState

_GIB = 1 << 30
_MIB = 1 << 20


class SavedToDisk(HostError):
    code = "saved"


class SnapshotGone(HostError):
    code = "snapshot_gone"


def own_file(file: str) -> bool:
    """Whether a file in the VM's folder belongs to snapshots, and goes with these."""
    return file in {BACK, FROZEN} or bool(memory_of(file))


def thawed(spec: VmSpec, state: VmState) -> Iterator[Op]:
    """End a freeze that a killed worker left behind."""
    if FROZEN in state.files:
        yield ThawGuest(name=spec.domain)


def dropped(spec: VmSpec, state: VmState) -> Iterator[Op]:
    """Those of ours that the spec no longer has."""
    wanted = {snapshot.id for snapshot in spec.snapshots}
    if spec.back:
        wanted.add(spec.back.snapshot)
    for snapshot in sorted(_there(state) - wanted):
        yield _drop(snapshot, state)


def taken(spec: VmSpec, state: VmState) -> Iterator[Op]:
    """Those that are to be taken."""
    for snapshot in spec.snapshots:
        if not snapshot.taken and not is_whole(snapshot, state):
            yield from _take(snapshot, spec, state)


def is_whole(snapshot: SnapshotSpec, state: VmState) -> bool:
    """Whether all of it is there; a guest that was off had no memory."""
    unfinished = state.layout.unfinished_memory(snapshot.id).name
    return has_disks(snapshot, state) and unfinished not in state.files


def has_disks(snapshot: SnapshotSpec, state: VmState) -> bool:
    """Whether all its disks have it."""
    return _on_all(snapshot.id, snapshot.disks, state)


def foreign(state: VmState) -> tuple[str, ...]:
    """The names of internal snapshots that are not ours."""
    names = {name for there in state.snapshots.values() for name in there}
    return tuple(sorted(name for name in names if not snapshot_of(name)))


def due(spec: VmSpec, state: VmState) -> BackSpec | None:
    """Where the VM is to go back to and has not yet."""
    back = spec.back
    return back if back and back.count > state.backs else None


def going_back(spec: VmSpec, back: BackSpec, state: VmState) -> Iterator[Op]:
    """What brings the disks back. Nothing is done when not all of the snapshot is there."""
    _refuse_gone(back, state)
    if state.is_active:
        yield DestroyDomain(name=spec.domain)
    elif state.power == "saved":
        yield DiscardSaved(name=spec.domain)
    yield GoBack(snapshot=back.snapshot, name=back.name, disks=back.disks)
    if not back.memory:
        yield NoteBack(count=back.count)


def gone_back(back: BackSpec, state: VmState) -> VmState:
    """The state after that: the guest is off, its disks are as large as they were."""
    name, files = snapshot_name(back.snapshot), dict(state.files)
    for disk in back.disks:
        file = state.layout.disk(disk).name
        files[file] = state.snapshots[file][name]
    domain = state.domain and replace(state.domain, state="off", live_xml="")
    return replace(
        state, domain=domain if domain and domain.xml else None, files=files, backs=back.count
    )


def resumed(spec: VmSpec, back: BackSpec, state: VmState) -> Iterator[Op]:
    """Let the guest go on from its memory; then its disks grow again as far as they had grown."""
    if spec.power in {"on", "paused"}:
        yield RestoreMemory(snapshot=back.snapshot, name=spec.domain, boots=spec.boots)
    yield NoteBack(count=back.count)
    for disk in spec.disks:
        size = state.files.get(state.layout.disk(disk.id).name, disk.size_gib * _GIB)
        if disk.id in back.disks and size < disk.size_gib * _GIB and spec.power in {"on", "paused"}:
            yield GrowLiveDisk(disk=disk)
    if spec.power == "paused":
        yield PauseDomain(name=spec.domain)


def _take(snapshot: SnapshotSpec, spec: VmSpec, state: VmState) -> Iterator[Op]:
    if state.power == "saved":
        raise SavedToDisk(
            f"{spec.name or spec.domain} is saved to disk; a snapshot of its disks alone would not "
            "fit its memory.",
            remedy="Start it, or drop what is saved, then take the snapshot.",
        )
    if snapshot.id in _there(state):
        yield _drop(snapshot.id, state)
    memory = snapshot.memory and state.is_active
    if memory and state.domain:
        most = domain_xml.memory_mib(domain_xml.parse(state.domain.live_xml))[1] * _MIB
        what = f"take snapshot “{snapshot.name}” with memory"
        refuse_low_space(state.free, most, what, state.layout.folder)
    else:
        refuse_low_space(state.free, 0, f"take snapshot “{snapshot.name}”", state.layout.folder)
    stops = memory and state.power == "running"
    if stops:
        yield PauseDomain(name=spec.domain)
    plugged, loose = _parted(snapshot.disks, state)
    yield SnapshotDisks(
        id=snapshot.id, name=snapshot.name, plugged=plugged, loose=loose, memory=memory
    )
    if memory:
        yield SaveMemory(id=snapshot.id, name=snapshot.name)
    if stops:
        yield ResumeDomain(name=spec.domain)


def _drop(snapshot: str, state: VmState) -> DropSnapshot:
    has = tuple(
        file for file, there in sorted(state.snapshots.items()) if snapshot_name(snapshot) in there
    )
    plugged = _plugged(state)
    return DropSnapshot(
        id=snapshot,
        plugged=tuple(file for file in has if file in plugged),
        loose=tuple(file for file in has if file not in plugged),
    )


def _parted(disks: tuple[str, ...], state: VmState) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The files of disks that a running guest has, and of the others."""
    files = [state.layout.disk(disk).name for disk in disks]
    plugged = _plugged(state)
    return (
        tuple(file for file in files if file in plugged),
        tuple(file for file in files if file not in plugged),
    )


def _plugged(state: VmState) -> frozenset[str]:
    if state.domain is None or not state.domain.live_xml:
        return frozenset()
    return frozenset(
        Path(file).name
        for file in domain_xml.disk_files(state.domain.live_xml)
        if Path(file).parent == state.layout.folder
    )


def _there(state: VmState) -> set[str]:
    """The snapshots of ours of which there is any part."""
    names = {snapshot_of(name) for there in state.snapshots.values() for name in there}
    return (names | {memory_of(file) for file in state.files}) - {""}


def _on_all(snapshot: str, disks: tuple[str, ...], state: VmState) -> bool:
    name, layout = snapshot_name(snapshot), state.layout
    return all(name in state.snapshots.get(layout.disk(disk).name, {}) for disk in disks)


def _refuse_gone(back: BackSpec, state: VmState) -> None:
    layout: Layout = state.layout
    if not _on_all(back.snapshot, back.disks, state):
        raise SnapshotGone(
            f"Snapshot “{back.name}” is not on all disks of the VM any more; nothing was changed.",
            remedy="Delete it, and go back to another one.",
        )
    if back.memory and layout.memory(back.snapshot).name not in state.files:
        raise SnapshotGone(
            f"The memory of snapshot “{back.name}” is gone from the host; nothing was changed.",
            remedy="Go back without its memory: the guest then starts from its disks.",
        )
