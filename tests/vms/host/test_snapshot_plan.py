"""Snapshots in a plan: taken once, dropped, gone back to once, wherever a worker dies."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vms.host.test_plan import NOTHING, applied, done, kinds
from tests.vms.host.vm_cases import IMAGE, LAYOUT, vm
from vms.host.layout import FROZEN
from vms.host.ops import (
    DestroyDomain,
    DiscardSaved,
    DropSnapshot,
    GoBack,
    GrowDisk,
    GrowLiveDisk,
    NoteBack,
    PauseDomain,
    RestoreMemory,
    ResumeDomain,
    SaveMemory,
    SnapshotDisks,
    StartDomain,
    ThawGuest,
)
from vms.host.plan import plan, unfinished
from vms.host.reconcile import observed, settled
from vms.host.room import LowSpace
from vms.host.snapshots import SavedToDisk, SnapshotGone
from vms.host.spec import BackSpec, DiskSpec, SnapshotSpec, VmSpec
from vms.host.state import VmState

pytestmark = pytest.mark.pure

TWO = (DiskSpec(id="d1", size_gib=1, image=IMAGE), DiskSpec(id="d2", size_gib=1))
WITH_MEMORY = SnapshotSpec(id="s1", name="first", disks=("d1", "d2"), memory=True)
DISKS_ALONE = replace(WITH_MEMORY, memory=False)
BACK = BackSpec(count=1, snapshot="s1", name="first", disks=("d1", "d2"), memory=True)


def both(**changes: object) -> VmSpec:
    return vm(disks=TWO, **changes)


RUNNING = applied(both(), NOTHING)
OFF = applied(both(power="off"), NOTHING)
TAKEN = applied(both(snapshots=(WITH_MEMORY,)), RUNNING)


def test_a_running_guest_stands_still_while_disks_and_memory_are_taken() -> None:
    wanted = both(snapshots=(WITH_MEMORY,))
    assert kinds(wanted, RUNNING) == [PauseDomain, SnapshotDisks, SaveMemory, ResumeDomain]
    assert plan(wanted, TAKEN) == ()
    paused = applied(both(power="paused"), RUNNING)
    assert kinds(replace(wanted, power="paused"), paused) == [SnapshotDisks, SaveMemory]
    assert kinds(both(snapshots=(DISKS_ALONE,)), RUNNING) == [SnapshotDisks]
    assert kinds(both(snapshots=(WITH_MEMORY,), power="off"), OFF) == [SnapshotDisks]


def test_what_is_half_taken_is_dropped_and_taken_anew_at_one_moment() -> None:
    wanted = both(snapshots=(WITH_MEMORY,))
    state = RUNNING
    for op in plan(wanted, RUNNING)[:2]:
        state = done(state, op)
    assert kinds(wanted, state) == [DropSnapshot, SnapshotDisks, SaveMemory, ResumeDomain]
    assert state.power == "paused"
    assert applied(wanted, state).power == "running"


def test_one_that_was_taken_is_never_taken_again() -> None:
    wanted = both(snapshots=(replace(WITH_MEMORY, taken=True),))
    assert plan(wanted, RUNNING) == ()
    assert observed(wanted, RUNNING)["snapshots"] == {}
    assert settled(both(snapshots=(WITH_MEMORY,), back=BACK)) == wanted


def test_what_the_spec_no_longer_has_goes_and_what_others_took_stays() -> None:
    file = LAYOUT.disk("d1").name
    by_hand = replace(TAKEN, snapshots={**TAKEN.snapshots, file: {"by hand": 1, "kvmweb-s1": 1}})
    (op,) = plan(both(), by_hand)
    assert isinstance(op, DropSnapshot)
    assert (op.id, set(op.plugged)) == ("s1", {file, LAYOUT.disk("d2").name})
    after = done(by_hand, op)
    assert after.snapshots[file] == {"by hand": 1}
    assert observed(both(), after)["foreign_snapshots"] == ["by hand"]
    off = applied(both(power="off", snapshots=(WITH_MEMORY,)), TAKEN)
    (op,) = plan(both(power="off"), off)
    assert isinstance(op, DropSnapshot)
    assert op.loose
    assert not op.plugged


def test_a_snapshot_does_not_fit_a_guest_that_is_saved_nor_a_full_disk() -> None:
    saved = applied(both(power="saved"), RUNNING)
    with pytest.raises(SavedToDisk):
        plan(both(power="saved", snapshots=(WITH_MEMORY,)), saved)
    full = replace(RUNNING, free=(1 << 30) + (100 << 20))
    with pytest.raises(LowSpace, match=r"0\.1 GiB are needed .* has 1\.1 GiB"):
        plan(both(snapshots=(WITH_MEMORY,)), full)
    assert kinds(both(snapshots=(DISKS_ALONE,)), full) == [SnapshotDisks]


def test_a_vm_goes_back_once_and_goes_on_from_its_memory() -> None:
    wanted = both(snapshots=(replace(WITH_MEMORY, taken=True),), back=BACK, boots=3)
    ops = plan(wanted, TAKEN)
    assert [type(op) for op in ops] == [
        DestroyDomain,
        GoBack,
        *[type(op) for op in ops[2:-2]],
        RestoreMemory,
        NoteBack,
    ]
    assert ops[-2] == RestoreMemory(snapshot="s1", name="hello", boots=3)
    assert plan(wanted, applied(wanted, TAKEN)) == ()
    alone = replace(wanted, back=replace(BACK, memory=False), boots=0)
    assert kinds(alone, TAKEN) == [DestroyDomain, GoBack, NoteBack, StartDomain]
    off = applied(both(snapshots=(WITH_MEMORY,), power="off"), TAKEN)
    assert kinds(replace(alone, power="off"), off) == [GoBack, NoteBack]
    saved = applied(both(snapshots=(WITH_MEMORY,), power="saved"), TAKEN)
    assert kinds(alone, saved)[:2] == [DiscardSaved, GoBack]


def test_disks_that_have_grown_since_grow_again() -> None:
    grown = (TWO[0], replace(TWO[1], size_gib=2))
    state = applied(vm(disks=grown, snapshots=(WITH_MEMORY,)), TAKEN)
    wanted = vm(disks=grown, snapshots=(WITH_MEMORY,), back=BACK)
    assert kinds(wanted, state)[-3:] == [RestoreMemory, NoteBack, GrowLiveDisk]
    assert unfinished(wanted, applied(wanted, state)) == ()
    alone = replace(wanted, back=replace(BACK, memory=False))
    assert kinds(alone, state) == [DestroyDomain, GoBack, NoteBack, GrowDisk, StartDomain]


@pytest.mark.parametrize("missing", ["disk", "memory"])
def test_nothing_is_done_when_a_part_of_the_snapshot_is_gone(missing: str) -> None:
    there, files = dict(TAKEN.snapshots), dict(TAKEN.files)
    if missing == "disk":
        there[LAYOUT.disk("d2").name] = {}
    else:
        del files[LAYOUT.memory("s1").name]
    with pytest.raises(SnapshotGone, match="nothing was changed"):
        plan(
            both(snapshots=(replace(WITH_MEMORY, taken=True),), back=BACK),
            replace(TAKEN, snapshots=there, files=files),
        )


def test_a_guest_left_frozen_is_thawed_first() -> None:
    frozen = replace(RUNNING, files={**RUNNING.files, FROZEN: 1})
    assert kinds(both(), frozen) == [ThawGuest]
    assert plan(both(), applied(both(), frozen)) == ()


def test_a_vm_goes_with_its_snapshots() -> None:
    after = applied(both(present=False), TAKEN)
    assert after.files == {}


histories = st.sampled_from([RUNNING, OFF, TAKEN, applied(both(power="off"), TAKEN)])


@given(
    histories,
    st.sampled_from([(), (WITH_MEMORY,), (DISKS_ALONE,), (replace(WITH_MEMORY, id="s2"),)]),
    st.sampled_from([None, BACK, replace(BACK, memory=False)]),
    st.sampled_from(["on", "off", "paused"]),
)
def test_stopping_anywhere_and_planning_anew_comes_to_the_same(
    state: VmState, snapshots: tuple[SnapshotSpec, ...], back: BackSpec | None, power: str
) -> None:
    goes = back if "s1" in {each.id for each in snapshots} and state.snapshots else None
    if goes and LAYOUT.memory("s1").name not in state.files:
        goes = replace(goes, memory=False)
    wanted = both(snapshots=snapshots, back=goes, power=power)
    try:
        ops = plan(wanted, state)
    except SnapshotGone:
        return
    for op in ops:
        state = done(state, op)
        try:
            assert unfinished(wanted, applied(wanted, state)) == ()
        except SnapshotGone:
            pytest.fail(f"gone after {op}")
