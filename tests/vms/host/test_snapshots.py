"""Snapshots of real guests: taken, gone back to with memory, deleted, and killed in between."""

from __future__ import annotations

import itertools
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kvmweb.host.progress import silent
from tests.libvirtd import LibvirtHost
from tests.vms.host.test_copies import qemu_img, reads, write
from tests.vms.host.test_reconcile import Vm, killed, made
from vms.host.drivers import qcow2
from vms.host.spec import BackSpec, DiskSource, DiskSpec, SnapshotSpec, VmSpec

pytestmark = [pytest.mark.libvirt, pytest.mark.timeout(240)]

BOOTED = "kvmweb-hello: configured"
DISKS = ("root", "data")


@pytest.fixture
def blank(host: LibvirtHost, empty_image: Path) -> Iterator[Vm]:
    with made(host, empty_image, stop_seconds=1) as guest:
        yield guest


def snapshot(name: str, *, taken: bool = False, memory: bool = True) -> SnapshotSpec:
    return SnapshotSpec(id=name, name=f"the {name}", disks=DISKS, memory=memory, taken=taken)


def back(name: str, count: int, *, memory: bool) -> BackSpec:
    return BackSpec(count=count, snapshot=name, name=f"the {name}", disks=DISKS, memory=memory)


def two_disks(guest: Vm) -> tuple[DiskSpec, ...]:
    return (*guest.spec().disks, DiskSpec(id="data", size_gib=1))


def parts_of(guest: Vm, name: str) -> list[str]:
    """Where anything of a snapshot is, as qemu-img and the folder tell."""
    folder = guest.layout.folder
    memory = [path.name for path in folder.iterdir() if f"{name}.mem" in path.name]
    disks = [
        path.name
        for path in folder.glob("*.qcow2")
        if f"kvmweb-{name} " in qemu_img("snapshot", "-l", "-U", path)
    ]
    return sorted(memory + disks)


WHOLE = ["data.qcow2", "root.qcow2", "s1.mem"]


def test_a_guest_goes_back_with_its_memory_and_others_snapshots_stay(
    host: LibvirtHost, image: Path
) -> None:
    with made(host, image) as guest:
        disks = two_disks(guest)
        data = guest.layout.disk("data")
        usual: dict[str, Any] = {"disks": disks, "snapshots": (snapshot("s0"),)}
        guest.must(disks=disks, power="off")
        write(data, "a", "1M")
        assert guest.must(**usual, power="off").observed["snapshots"] == {
            "s0": {"memory": False, "memory_bytes": 0}
        }
        guest.must(**usual)
        guest.wait_for_line(BOOTED)
        usual["snapshots"] = (snapshot("s0", taken=True), snapshot("s1"))
        seen = guest.must(**usual).observed
        assert seen["state"] == "running"
        assert seen["snapshots"]["s1"]["memory"] is True
        assert 1 << 20 < seen["snapshots"]["s1"]["memory_bytes"] == seen["memory_bytes"]
        assert parts_of(guest, "s1") == WHOLE
        usual["snapshots"] = (snapshot("s0", taken=True), snapshot("s1", taken=True))

        # Another VM of the running guest's snapshot.
        with made(host, image) as other:
            source = DiskSource(vm=guest.spec().subject, disk="data", snapshot="s1")
            other.must(disks=(*other.spec().disks, replace(disks[1], copy_of=source)), power="off")
            assert reads(other.layout.disk("data"), "a", "1M")

        guest.must(**usual, power="off", force=True)
        write(data, "b", "1M")
        qemu_img("snapshot", "-c", "by hand", data)
        # Renamed, with more memory, a larger disk and fresh starts counted since.
        new = f"{guest.spec().domain}-new"
        usual |= {"domain": new, "memory_mib": 128, "boots": 2}
        usual["disks"] = (disks[0], replace(disks[1], size_gib=2))
        guest.must(**usual, power="off")
        starts = guest.serial().count(BOOTED)
        seen = guest.must(**usual, back=back("s1", 1, memory=True)).observed
        assert (seen["state"], seen["backs"], seen["restart_needed"]) == ("running", 1, True)
        assert seen["foreign_snapshots"] == ["by hand"]
        assert qcow2.virtual_size(data) == 2 << 30
        stopped = guest.must(**usual, power="off")
        assert stopped.observed["reason"] == "The guest shut down"
        assert guest.serial().count(BOOTED) == starts, "it went on, and did not start"
        assert reads(data, "a", "1M")
        assert new in guest.virsh("list", "--all", "--name").split()

        write(data, "c", "1M")
        guest.must(**usual, back=back("s0", 2, memory=False), power="off")
        assert reads(data, "a", "1M")
        usual["snapshots"] = ()
        guest.must(**usual, power="off")
        assert parts_of(guest, "s1") == parts_of(guest, "s0") == []
        assert "by hand" in qemu_img("snapshot", "-l", data)
        assert "No errors were found" in qemu_img("check", data)


def test_one_that_cannot_be_written_leaves_nothing_and_the_guest_goes_on(
    blank: Vm, tmp_path: Path
) -> None:
    disks = two_disks(blank)
    blank.must(disks=disks, power="off")
    xml = blank.virsh("dumpxml", blank.spec().domain)
    head, _, tail = xml.partition("data.qcow2'/>")
    by_hand = tmp_path / "by-hand.xml"
    by_hand.write_text(f"{head}data.qcow2'/><readonly/>{tail}")
    blank.virsh("define", str(by_hand))
    blank.must(disks=disks)
    outcome = blank.apply(disks=disks, snapshots=(snapshot("s1"),))
    assert (outcome.ok, outcome.code) == (False, "qemu_refused"), outcome
    assert outcome.observed["state"] == "running"
    assert parts_of(blank, "s1") == []
    blank.must(disks=disks)


def _taken(guest: Vm) -> VmSpec:
    guest.must(disks=two_disks(guest))
    return guest.spec(disks=two_disks(guest), snapshots=(snapshot("s1"),))


def _dropped(guest: Vm) -> VmSpec:
    guest.must(disks=two_disks(guest))
    guest.must(disks=two_disks(guest), snapshots=(snapshot("s1"), snapshot("s2", memory=False)))
    return guest.spec(disks=two_disks(guest), memory_mib=128)


def _gone_back(guest: Vm) -> VmSpec:
    guest.must(disks=two_disks(guest))
    guest.must(disks=two_disks(guest), snapshots=(snapshot("s1"),))
    return guest.spec(
        disks=two_disks(guest),
        snapshots=(snapshot("s1", taken=True),),
        back=back("s1", 1, memory=True),
    )


@pytest.mark.parametrize(
    ("prepare", "whole"), [(_taken, WHOLE), (_dropped, []), (_gone_back, WHOLE)]
)
def test_killed_after_each_operation_it_is_finished_the_next_time(
    host: LibvirtHost, blank: Vm, prepare: Any, whole: list[str]
) -> None:
    for operations in itertools.count(1):
        spec = prepare(blank)
        done: subprocess.CompletedProcess[bytes] = killed(host, spec, operations)
        if done.returncode:
            assert done.returncode == -signal.SIGKILL, done.stderr
            assert blank.reconciler.apply(spec, silent).ok
        assert blank.reconciler.check(spec) == ()
        assert blank.reconciler.observe(spec).power == "running"
        assert parts_of(blank, "s1") == whole
        assert parts_of(blank, "s2") == []
        blank.must(present=False)
        assert blank.leaves_nothing()
        if not done.returncode:
            assert operations > 2
            return
