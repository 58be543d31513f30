"""The planner: after its operations there is nothing left to do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vms.host.vm_cases import IMAGE, LAYOUT, NIC, SEED, vm
from vms.host import cloud_init, domain_xml
from vms.host.layout import BACK, FROZEN, SERIAL_LOG, snapshot_name
from vms.host.ops import (
    AttachDevice,
    CopyDisk,
    CreateDisk,
    DefineDomain,
    DeleteDisk,
    DeleteFile,
    DeleteSeed,
    DestroyDomain,
    DetachDevice,
    DiscardSaved,
    DropSnapshot,
    FetchImage,
    GoBack,
    GrowDisk,
    GrowLiveDisk,
    NoteBack,
    Op,
    PauseDomain,
    RedefineDomain,
    RenameDomain,
    RestoreMemory,
    ResumeDomain,
    SaveDomain,
    SaveMemory,
    SetMemory,
    SetVcpus,
    ShutdownDomain,
    SnapshotDisks,
    StartDomain,
    ThawGuest,
    UndefineDomain,
    WriteSeed,
)
from vms.host.plan import GIB, CannotShrink, DiskMissing, plan, restart_needed, unfinished
from vms.host.spec import DiskSource, DiskSpec, VmSpec
from vms.host.state import DomainState, PowerState, VmState

pytestmark = pytest.mark.pure

NOTHING = VmState(layout=LAYOUT, accelerator="tcg")


def done(state: VmState, op: Op) -> VmState:  # noqa: C901 — one case for each operation
    """The toy host after `op`."""
    domain, files = state.domain, dict(state.files)
    match op:
        case FetchImage(image=image):
            return replace(state, images=state.images | {image.sha256})
        case (
            CreateDisk(disk=disk)
            | CopyDisk(disk=disk)
            | GrowDisk(disk=disk)
            | GrowLiveDisk(disk=disk)
        ):
            files[LAYOUT.disk(disk.id).name] = disk.size_gib * GIB
        case WriteSeed(seed=seed):
            files[LAYOUT.seed.name] = 1
            state = replace(state, seed=cloud_init.digest(seed))
        case DefineDomain(xml=xml):
            domain = DomainState(state="off", xml=xml)
        case RedefineDomain(xml=xml):
            assert domain is not None
            domain = replace(domain, xml=xml)
        case RenameDomain(name=name):
            assert domain is not None
            domain = replace(domain, xml=domain_xml.renamed(domain.xml, name))
        case StartDomain() | ResumeDomain():
            assert domain is not None
            files[SERIAL_LOG] = 1
            live = domain.live_xml or domain.xml
            domain = replace(domain, state="running", live_xml=live)
        case PauseDomain():
            assert domain is not None
            domain = replace(domain, state="paused")
        case SaveDomain():
            assert domain is not None
            domain = replace(domain, state="saved", live_xml="")
        case DiscardSaved():
            assert domain is not None
            domain = replace(domain, state="off")
        case ShutdownDomain() | DestroyDomain():
            assert domain is not None
            domain = replace(domain, state="off", live_xml="") if domain.xml else None
        case UndefineDomain():
            domain = None
        case DeleteDisk(id=disk_id):
            del files[LAYOUT.disk(disk_id).name]
        case DeleteSeed():
            del files[LAYOUT.seed.name]
            state = replace(state, seed="")
        case DeleteFile(file=file):
            del files[file]
        case SnapshotDisks() | SaveMemory() | DropSnapshot() | GoBack() | NoteBack() | ThawGuest():
            return snapshotted(state, op)
        case RestoreMemory(snapshot=snapshot):
            assert domain is not None
            assert LAYOUT.memory(snapshot).name in files
            assert not domain.live_xml
            domain = replace(domain, state="running", live_xml=domain.xml)
            files[SERIAL_LOG] = 1
    return replace(state, domain=domain, files=files)


def snapshotted(state: VmState, op: Op) -> VmState:  # noqa: C901 — one case for each operation
    """The toy host after what is done to a snapshot."""
    files = dict(state.files)
    there = {file: dict(names) for file, names in state.snapshots.items()}
    match op:
        case SnapshotDisks(id=id, plugged=plugged, loose=loose, memory=memory):
            if memory:
                files[LAYOUT.unfinished_memory(id).name] = 0
            for file in (*plugged, *loose):
                there.setdefault(file, {})[snapshot_name(id)] = files[file]
        case SaveMemory(id=id):
            assert state.power == "paused"
            files[LAYOUT.memory(id).name] = files.pop(LAYOUT.unfinished_memory(id).name)
        case DropSnapshot(id=id, plugged=plugged, loose=loose):
            for file in (*plugged, *loose):
                del there[file][snapshot_name(id)]
            files.pop(LAYOUT.memory(id).name, None)
            files.pop(LAYOUT.unfinished_memory(id).name, None)
        case GoBack(snapshot=snapshot, disks=disks):
            assert not state.is_active
            for disk in disks:
                file = LAYOUT.disk(disk).name
                files[file] = there[file][snapshot_name(snapshot)]
        case NoteBack(count=count):
            files[BACK] = 1
            return replace(state, files=files, backs=count)
        case ThawGuest():
            del files[FROZEN]
    return replace(state, files=files, snapshots=there)


def applied(spec: VmSpec, state: VmState) -> VmState:
    for op in plan(spec, state):
        state = done(state, op)
    return state


specs = st.builds(
    lambda disks, nics, seed, **rest: vm(
        disks=tuple(
            DiskSpec(id=f"d{number}", size_gib=2, image=IMAGE if number == 0 else None)
            for number in disks
        ),
        nics=tuple(replace(NIC, mac=f"52:54:00:00:00:0{n}", tap=f"kt{n}") for n in nics),
        seed=seed,
        **rest,
    ),
    disks=st.sets(st.integers(0, 3)).map(sorted),
    nics=st.sets(st.integers(1, 3)).map(sorted),
    seed=st.sampled_from([None, SEED, replace(SEED, hostname="other")]),
    present=st.booleans(),
    power=st.sampled_from(["on", "off", "paused", "saved"]),
    boots=st.integers(0, 2),
    domain=st.sampled_from(["hello", "other"]),
    force=st.booleans(),
    vcpus=st.integers(1, 4),
    memory_mib=st.sampled_from([96, 128]),
    accelerator=st.sampled_from(["auto", "kvm", "tcg"]),
)


@given(specs, specs, st.sampled_from(["running", "paused", "crashed", "off", "saved"]))
def test_after_the_plan_nothing_is_left_to_do(
    before: VmSpec, wanted: VmSpec, power: PowerState
) -> None:
    state = applied(before, NOTHING)
    if state.domain and state.domain.state == "running":
        live = state.domain.xml if power in {"running", "paused"} else ""
        state = replace(state, domain=replace(state.domain, state=power, live_xml=live))
    after = applied(wanted, state)
    assert unfinished(wanted, after) == ()
    if not wanted.present:
        assert (after.domain, after.files) == (None, {})


@given(specs, specs)
def test_stopping_after_any_operation_and_planning_anew_comes_to_the_same(
    before: VmSpec, wanted: VmSpec
) -> None:
    state = applied(before, NOTHING)
    for op in plan(wanted, state):
        state = done(state, op)
        assert unfinished(wanted, applied(wanted, state)) == ()


def test_a_new_vm_is_made_in_order_and_started_last() -> None:
    assert kinds(vm(), NOTHING) == [FetchImage, CreateDisk, WriteSeed, DefineDomain, StartDomain]


def test_a_disk_that_is_a_copy_is_copied_once_over_the_image_of_its_source() -> None:
    source = DiskSource(vm="v2", disk="d7", snapshot="s1")
    copied = vm(disks=(DiskSpec(id="d1", size_gib=1, image=IMAGE, copy_of=source),))
    assert kinds(copied, NOTHING)[:2] == [FetchImage, CopyDisk]
    assert plan(copied, applied(copied, NOTHING)) == ()


def test_a_running_guest_is_not_touched_by_more_memory_but_needs_a_restart() -> None:
    running = applied(vm(), NOTHING)
    bigger = vm(memory_mib=256, vcpus=2)
    (op,) = plan(bigger, running)
    assert isinstance(op, RedefineDomain)
    assert op.sentence == "Changed the definition of hello; takes effect when it next starts"
    after = applied(bigger, running)
    assert restart_needed(bigger, after)
    assert not restart_needed(vm(), running)
    assert not restart_needed(bigger, applied(vm(memory_mib=256, power="off"), after))


def test_a_new_name_needs_no_restart() -> None:
    running = applied(vm(), NOTHING)
    assert not restart_needed(vm(name="other", generation=2), running)


def test_a_new_generation_alone_changes_nothing() -> None:
    assert plan(vm(generation=7), applied(vm(), NOTHING)) == ()


def test_a_disk_is_never_made_smaller() -> None:
    state = applied(vm(disks=(DiskSpec(id="d1", size_gib=3),)), NOTHING)
    with pytest.raises(CannotShrink, match="3 GiB"):
        plan(vm(disks=(DiskSpec(id="d1", size_gib=2),)), state)


def test_a_disk_that_vanished_is_not_made_anew_behind_its_owner() -> None:
    state = replace(applied(vm(power="off"), NOTHING), files={})
    with pytest.raises(DiskMissing):
        plan(vm(), state)


def test_a_disk_taken_from_a_running_guest_is_deleted_only_when_it_is_off() -> None:
    two = (DiskSpec(id="d1", size_gib=1, image=IMAGE), DiskSpec(id="d2", size_gib=1))
    running = applied(vm(disks=two), NOTHING)
    ops = plan(vm(), running)
    assert [type(op) for op in ops] == [RedefineDomain, DetachDevice]
    ops = plan(vm(power="off"), running)
    assert [type(op) for op in ops] == [ShutdownDomain, RedefineDomain, DeleteDisk]


def test_force_pulls_the_plug_and_its_absence_does_not() -> None:
    running = applied(vm(), NOTHING)
    assert [type(op) for op in plan(vm(power="off"), running)] == [ShutdownDomain]
    assert [type(op) for op in plan(vm(power="off", force=True), running)] == [DestroyDomain]


def kinds(spec: VmSpec, state: VmState) -> list[type[Op]]:
    return [type(op) for op in plan(spec, state)]


def test_a_fresh_start_is_asked_for_by_a_count_and_happens_once() -> None:
    running = applied(vm(), NOTHING)
    again = vm(boots=1)
    assert kinds(again, running) == [ShutdownDomain, RedefineDomain, StartDomain]
    assert kinds(replace(again, force=True), running) == [
        DestroyDomain,
        RedefineDomain,
        StartDomain,
    ]
    assert plan(again, applied(again, running)) == ()
    assert plan(vm(), applied(again, running)) != (), "the count goes with the definition"
    assert not restart_needed(vm(), applied(again, running))


def test_a_fresh_start_brings_what_waited_for_it() -> None:
    bigger = applied(vm(memory_mib=256), applied(vm(), NOTHING))
    again = vm(memory_mib=256, boots=1)
    assert restart_needed(vm(memory_mib=256), bigger)
    assert not restart_needed(again, applied(again, bigger))


def test_a_new_domain_name_waits_until_the_guest_is_off() -> None:
    running = applied(vm(), NOTHING)
    other = vm(domain="other")
    assert plan(other, running) == ()
    assert restart_needed(other, running)
    off = applied(vm(power="off"), running)
    assert kinds(replace(other, power="off"), off) == [RenameDomain]
    assert kinds(other, off) == [RenameDomain, StartDomain]
    again = replace(other, boots=1)
    assert kinds(again, running) == [ShutdownDomain, RenameDomain, RedefineDomain, StartDomain]
    assert not restart_needed(again, applied(again, running))


def ported(state: VmState, ports: int) -> VmState:
    """A running guest with so many root ports, as libvirt numbers them."""
    assert state.domain is not None
    root = domain_xml.parse(state.domain.live_xml)
    found = root.findall("devices/controller[@model='pcie-root-port']")
    for number, port in enumerate(found, start=1):
        port.set("index", str(number))
        if number > ports:
            port.getparent().remove(port)  # type: ignore[union-attr]
    return replace(state, domain=replace(state.domain, live_xml=domain_xml.printed(root)))


def test_what_a_running_guest_can_take_is_tried_as_far_as_there_are_ports() -> None:
    running = applied(vm(memory_mib=256, max_vcpus=4), NOTHING)
    data, other = DiskSpec(id="d2", size_gib=1), replace(NIC, mac="52:54:00:00:00:02", tap="kt2")
    more = vm(memory_mib=192, vcpus=2, max_vcpus=4, nics=(NIC, other))
    more = replace(more, disks=(*more.disks, data))
    changes = [CreateDisk, RedefineDomain, SetMemory, SetVcpus]
    assert kinds(more, ported(running, 4)) == [*changes, AttachDevice, AttachDevice]
    assert kinds(more, ported(running, 1)) == [*changes, AttachDevice]
    assert kinds(more, ported(running, 0)) == changes
    assert restart_needed(more, ported(running, 0))
    assert kinds(vm(memory_mib=512, max_vcpus=4, nics=()), running) == [
        RedefineDomain,
        DetachDevice,
    ]


def test_a_disk_grows_under_a_running_guest_but_not_under_a_saved_one() -> None:
    running = applied(vm(), NOTHING)
    bigger = vm(disks=(DiskSpec(id="d1", size_gib=2, image=IMAGE),))
    assert kinds(bigger, running) == [GrowLiveDisk]
    saved = applied(vm(power="saved"), running)
    assert kinds(replace(bigger, power="saved"), saved) == []


def test_a_guest_is_paused_and_goes_on() -> None:
    running = applied(vm(), NOTHING)
    assert kinds(vm(power="paused"), running) == [PauseDomain]
    paused = applied(vm(power="paused"), running)
    assert kinds(vm(), paused) == [ResumeDomain]
    assert kinds(vm(power="off"), paused) == [ResumeDomain, ShutdownDomain]


def test_a_saved_guest_is_restored_or_dropped_but_never_stopped_behind_its_owner() -> None:
    running = applied(vm(), NOTHING)
    assert kinds(vm(power="saved"), running) == [SaveDomain]
    saved = applied(vm(power="saved"), running)
    (start,) = plan(vm(), saved)
    assert start.sentence == "Restored hello from disk"
    assert kinds(vm(power="off"), saved) == []
    assert kinds(vm(power="off", force=True), saved) == [DiscardSaved]
    bigger = (DiskSpec(id="d1", size_gib=2, image=IMAGE),)
    assert kinds(vm(power="saved", disks=bigger), saved) == []
    assert kinds(vm(power="saved"), applied(vm(power="off"), NOTHING)) == []


def test_deleting_removes_domain_and_every_file() -> None:
    state = applied(vm(), NOTHING)
    gone = [DestroyDomain, UndefineDomain, DeleteDisk, DeleteSeed, DeleteFile]
    assert kinds(vm(present=False), state) == gone
    assert plan(vm(present=False), NOTHING) == ()


def test_what_an_operator_added_by_hand_stays() -> None:
    state = applied(vm(power="off"), NOTHING)
    assert state.domain is not None
    root = domain_xml.parse(state.domain.xml)
    devices = root.find("devices")
    assert devices is not None
    devices.append(domain_xml.parse("<watchdog model='i6300esb' action='reset'/>"))
    root.append(domain_xml.parse("<on_lockfailure>pause</on_lockfailure>"))
    by_hand = domain_xml.printed(root)
    state = replace(state, domain=replace(state.domain, xml=by_hand))
    assert plan(vm(power="off"), state) == ()
    (op,) = plan(vm(power="off", memory_mib=512), state)
    assert isinstance(op, RedefineDomain)
    assert "i6300esb" in op.xml
    assert "<on_lockfailure>pause<" in op.xml
