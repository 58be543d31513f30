"""What libvirt counts of guests becomes figures per second, whatever begins anew in between."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmweb.core.errors import HostBusy
from kvmweb.metrics.series import VM, Values
from tests.libvirtd import LibvirtHost, libvirt_host
from tests.netns import eventually
from tests.vms.host.test_reconcile import Vm
from tests.vms.host.vm_cases import image_of
from vms.host.drivers import stats
from vms.host.drivers.domains import Domains
from vms.host.measure import Reading, reading, sample, with_memory_of

COUNTS = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.lists(st.integers(0, 10**12), min_size=6, max_size=6),
)


def said(**changes: Any) -> dict[str, Any]:
    """What libvirt says of a guest with one disk and one NIC."""
    usual = {
        "cpu.time": 2 * 10**9,
        "balloon.current": 1024,
        "balloon.rss": 2048,
        "block.count": 2,
        "block.0.name": "vda",
        "block.0.rd.bytes": 1000,
        "block.0.wr.bytes": 2000,
        "block.0.rd.reqs": 10,
        "block.0.wr.reqs": 20,
        "block.1.name": "vda",
        "block.1.allocation": 7,
        "net.count": 1,
        "net.0.name": "kt1",
        "net.0.rx.bytes": 100,
        "net.0.tx.bytes": 200,
        "net.0.rx.pkts": 1,
        "net.0.tx.pkts": 2,
        "net.0.rx.drop": 0,
        "net.0.tx.drop": 1,
    }
    return usual | {name.replace("__", "."): value for name, value in changes.items()}


def named(values: Values | None) -> dict[str, float | None]:
    assert values is not None
    return dict(zip(VM.names, values, strict=True))


@pytest.mark.pure
def test_differences_become_figures_per_second() -> None:
    before = reading(said(), run=1, at=100)
    changes = {"cpu.time": 7 * 10**9, "block.0.wr.bytes": 4000, "net.0.rx.bytes": 1100}
    guest = {"balloon.usable": 300, "balloon.available": 1000}
    found = named(sample(before, reading(said() | changes | guest, run=1, at=102)))
    assert found == {
        "cpu": 2.5,
        "memory": 1 << 20,
        "memory_used": 700 << 10,
        "memory_host": 2 << 20,
        "disk_read": 0,
        "disk_written": 1000,
        "disk_reads": 0,
        "disk_writes": 0,
        "received": 500,
        "sent": 0,
        "packets_received": 0,
        "packets_sent": 0,
        "packets_dropped": 0,
    }


@pytest.mark.pure
def test_a_fresh_start_counts_from_nought_though_its_numbers_are_higher() -> None:
    before = reading(said(), run=1, at=100)
    found = named(sample(before, reading(said(), run=2, at=110)))
    assert (found["cpu"], found["disk_written"], found["sent"]) == (0.2, 200, 20)


@pytest.mark.pure
def test_a_guest_that_libvirt_could_not_ask_has_no_figures_and_no_fall() -> None:
    full, empty = reading(said(), run=1, at=100), reading({}, run=1, at=110)
    assert set(named(sample(full, empty)).values()) == {None}
    back = named(sample(empty, reading(said(), run=1, at=120)))
    assert back["cpu"] is None
    assert sample(full, full) is None


@pytest.mark.pure
def test_memory_that_was_not_asked_for_is_what_it_was_but_of_no_other_start() -> None:
    full = reading(said(), run=1, at=100)
    without = {key: value for key, value in said().items() if not key.startswith("balloon")}
    assert named(sample(full, with_memory_of(full, reading(without, run=1, at=110))))[
        "memory_host"
    ] == (2 << 20)
    assert with_memory_of(full, reading(without, run=2, at=110)).memory is None
    assert with_memory_of(None, full) == full


@given(COUNTS, COUNTS, st.integers(1, 2), st.integers(1, 2), st.floats(0.1, 100))
@pytest.mark.pure
def test_nothing_is_ever_below_nought_or_more_than_was_counted(
    before: dict[str, Any], after: dict[str, Any], old: int, new: int, seconds: float
) -> None:
    first = Reading(run=old, at=0, cpu=5, disks={}, nics=before)
    second = Reading(run=new, at=seconds, cpu=3, disks={}, nics=after)
    found = named(sample(first, second))
    counted = sum(counts[0] for counts in after.values()) / seconds
    if after:
        assert found["received"] is not None
        assert 0 <= found["received"] <= counted * 1.000001
    else:
        assert found["received"] is None
    assert found["cpu"] is not None
    assert found["cpu"] >= 0


@pytest.fixture(scope="module")
def quiet_host() -> Iterator[LibvirtHost]:
    """A host of its own, whose guests may be stopped in their tracks."""
    with libvirt_host() as host:
        host.add_bridge("kw1")
        yield host


@pytest.mark.libvirt
@pytest.mark.timeout(180)
def test_a_guest_has_its_figures_and_one_that_hangs_costs_no_other_its_own(
    quiet_host: LibvirtHost, image: Path, empty_image: Path
) -> None:
    one, other = (Vm(quiet_host, image_of(each), stop_seconds=1) for each in (image, empty_image))
    domains = Domains(quiet_host.uri, call_seconds=5)
    subjects = [each.spec().subject for each in (one, other)]
    try:
        for each in (one, other):
            each.must()
        before = stats.of_all(domains, lambda _: True)
        assert set(before) == set(subjects)
        found = eventually(lambda: _received(quiet_host, before, domains, subjects[0]), 90)
        assert found
        assert found["memory"] == 96 << 20
        assert found["memory_host"]
        assert found["packets_received"]
        assert found["cpu"]
        _stop(quiet_host, other, stopped=True)
        # The first to ask may wait for the one that hangs; from then on libvirt knows it as busy.
        eventually(lambda: _heard(domains, subjects[0]), 60)
        readings = stats.of_all(domains, lambda _: True)
        assert readings[subjects[0]].disks["vda"][0] > 0  # the firmware looked for a system
        assert not readings[subjects[1]].disks
        assert stats.of_some(domains, [subjects[0]])[subjects[0]].disks
        _stop(quiet_host, other, stopped=False)
        one.must(power="off", force=True)
        assert set(stats.of_all(domains, lambda _: True)) == {subjects[1]}
        assert stats.of_some(domains, subjects).keys() == {subjects[1]}
    finally:
        _stop(quiet_host, other, stopped=False)
        for each in (one, other):
            each.must(present=False)
        domains.close()


def _received(
    host: LibvirtHost, before: dict[str, Reading], domains: Domains, subject: str
) -> dict[str, float | None] | None:
    """Its figures, once it takes what is sent: its tap counts what QEMU took for it."""
    _send(host, packets=20, size=900)
    now = stats.of_some(domains, [subject])[subject]
    found = named(sample(before[subject], now))
    carried = (found["received"] or 0) * (now.at - before[subject].at)
    return found if carried >= 20 * 900 else None


def _heard(domains: Domains, subject: str) -> bool:
    try:
        return bool(stats.of_all(domains, lambda _: True)[subject].disks)
    except HostBusy:
        return False


def _send(host: LibvirtHost, *, packets: int, size: int) -> None:
    """Frames to nobody, which the bridge floods to all its ports."""
    program = (
        "import socket; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(('kw1', 0));"
        f"[s.send(bytes.fromhex('5254000000ff5254000000fe88b5') + bytes({size - 14}))"
        f" for _ in range({packets})]"
    )
    host.run("python3", "-c", program)


def _stop(host: LibvirtHost, guest: Vm, *, stopped: bool) -> None:
    for pid in host.pids():
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
        if f"guest={guest.spec().domain},".encode() in line:
            os.kill(pid, signal.SIGSTOP if stopped else signal.SIGCONT)
