"""VMs brought to what their specs say, by a real libvirtd with real guests."""

from __future__ import annotations

import itertools
import os
import signal
import stat
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kvmweb.host.progress import Outcome, Step, silent
from tests.libvirtd import LibvirtHost
from tests.vms.host.conftest import BRIDGE, ROOT
from tests.vms.host.vm_cases import image_of, vm
from vms.host import hurry
from vms.host.check import MOST_DISKS, MOST_NICS
from vms.host.drivers.domains import Domains
from vms.host.layout import Layout
from vms.host.reconcile import VmReconciler
from vms.host.spec import DiskSource, DiskSpec, DriveSpec, ImageRef, NicSpec, SeedSpec, VmSpec

pytestmark = [pytest.mark.libvirt, pytest.mark.timeout(180)]

BOOT_SECONDS = 90.0
_numbers = itertools.count(1)


class Vm:
    """One VM of a test: its usual spec, and the reconciler of its host."""

    def __init__(self, host: LibvirtHost, image: ImageRef, *, stop_seconds: float = 90) -> None:
        number = next(_numbers)
        self.host = host
        self.steps: list[Step] = []
        self.generation = 0
        subject = str(uuid.uuid4())
        self._usual: dict[str, Any] = {
            "subject": subject,
            "name": f"guest {number}",
            "domain": f"guest-{number}",
            "memory_mib": 96,
            "disks": (DiskSpec(id="root", size_gib=1, image=image),),
            "nics": (
                NicSpec(
                    id="n",
                    network="w",
                    bridge=BRIDGE,
                    tap=f"kt{number}",
                    mac=f"52:54:00:00:00:{number:02x}",
                ),
            ),
            "seed": SeedSpec(instance_id=subject, hostname=f"guest{number}"),
        }
        self.reconciler = VmReconciler(
            host.paths, Domains(host.uri), accelerator=lambda: "tcg", stop_seconds=stop_seconds
        )
        self.layout: Layout = self.reconciler.layout(subject)

    def spec(self, **changes: Any) -> VmSpec:
        self.generation += 1
        return vm(**(self._usual | {"generation": self.generation} | changes))

    def apply(self, **changes: Any) -> Outcome:
        return self.reconciler.apply(self.spec(**changes), self.steps.append)

    def must(self, **changes: Any) -> Outcome:
        """Apply, and nothing may be left to do."""
        spec = self.spec(**changes)
        outcome = self.reconciler.apply(spec, self.steps.append)
        assert outcome.ok, outcome
        assert self.reconciler.check(spec) == ()
        return outcome

    def virsh(self, *arguments: str, check: bool = True) -> str:
        return self.host.run("virsh", "-c", self.host.uri, *arguments, check=check)

    def wait_for_line(self, text: str, *, seconds: float = BOOT_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.serial():
            assert time.monotonic() < deadline, f"no {text!r} in {self.serial()!r}"
            time.sleep(0.1)

    def serial(self) -> str:
        log = self.layout.serial_log
        return log.read_text(errors="replace") if log.exists() else ""

    def leaves_nothing(self) -> bool:
        domain = self._usual["domain"]
        taps = self.host.run("ip", "-o", "link", "show", "type", "tun")
        return (
            domain not in self.virsh("list", "--all", "--name").split()
            and not self.layout.folder.exists()
            and f"{self._usual['nics'][0].tap}:" not in taps
        )


@contextmanager
def made(host: LibvirtHost, path: Path, **options: Any) -> Iterator[Vm]:
    """A VM that is gone when the test is over."""
    guest = Vm(host, image_of(path), **options)
    try:
        yield guest
    finally:
        guest.apply(present=False)


@pytest.fixture
def blank(host: LibvirtHost, empty_image: Path) -> Iterator[Vm]:
    """A VM whose guest does nothing."""
    with made(host, empty_image, stop_seconds=1) as guest:
        yield guest


def test_a_vm_is_made_stopped_started_forced_off_and_deleted(
    host: LibvirtHost, image: Path
) -> None:
    with made(host, image) as guest:
        guest.layout.image(image_of(image).sha256).unlink(missing_ok=True)
        assert guest.must().observed["state"] == "running"
        assert [step.sentence for step in guest.steps if step.state == "done"] == [
            "Copied image test",
            "Created a disk of 1 GiB",
            "Wrote name, keys and start-up data for the guest",
            f"Described the machine to libvirt as {guest.spec().domain}",
            f"Started {guest.spec().domain}",
        ]
        assert [step.percent for step in guest.steps if step.percent is not None][-1] == 100
        assert host.run("ss", "-Hltn") == ""
        guest.wait_for_line("kvmweb-hello: configured")

        stopped = guest.must(power="off")
        assert stopped.observed["disk_bytes"] > 0
        assert stopped.observed == {
            "state": "off",
            "reason": "The guest shut down",
            "restart_needed": False,
            "boots": 0,
            "snapshots": {},
            "foreign_snapshots": [],
            "backs": 0,
            "disk_bytes": stopped.observed["disk_bytes"],
            "memory_bytes": 0,
        }
        assert any("to shut down (90 s left)" in step.sentence for step in guest.steps)

        guest.must()
        assert guest.must(power="off", force=True).observed["reason"] == "Forced off"
        guest.must(present=False)
        assert guest.leaves_nothing()
        guest.must(present=False)


def test_the_second_time_nothing_is_done(blank: Vm) -> None:
    blank.must()
    blank.steps.clear()
    assert blank.must().observed["restart_needed"] is False
    assert blank.steps == []


def test_only_qemu_and_root_may_read_what_a_vm_has(blank: Vm) -> None:
    blank.must()
    for file in blank.layout.folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
    for folder in (blank.layout.folder, blank.layout.images):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o711
    assert blank.layout.seed.stat().st_uid != 0


def _pid(guest: Vm) -> str:
    """Of its QEMU: another one is another start."""
    name = guest.spec().domain
    return (guest.host.folder / "libvirtd/libvirt/qemu" / f"{name}.pid").read_text()


def test_asked_for_twice_a_reset_happens_once(blank: Vm) -> None:
    blank.must()
    first = _pid(blank)
    blank.must(boots=1, force=True, memory_mib=128)
    second = _pid(blank)
    assert first != second
    assert "131072 KiB" in blank.virsh("dominfo", blank.spec().domain)
    blank.must(boots=1, force=True, memory_mib=128)
    assert _pid(blank) == second


def test_a_guest_is_paused_saved_and_restored_as_it_was(host: LibvirtHost, image: Path) -> None:
    with made(host, image) as guest:
        guest.must()
        guest.wait_for_line("kvmweb-hello: configured")
        assert guest.must(power="paused").observed["state"] == "paused"
        assert guest.must().observed["state"] == "running"
        assert guest.must(power="saved").observed["state"] == "saved"
        assert any(step.sentence.startswith("Saving guest") for step in guest.steps)
        said = guest.serial()
        assert guest.must(power="off").observed["state"] == "saved"
        assert guest.must().observed["state"] == "running"
        assert guest.must(power="off").observed["reason"] == "The guest shut down"
        assert guest.serial().count("kvmweb-hello: configured") == said.count(
            "kvmweb-hello: configured"
        )
        guest.must()
        guest.must(power="saved")
        assert guest.must(power="off", force=True).observed["state"] == "off"


def test_a_new_name_is_taken_when_the_guest_is_off(blank: Vm) -> None:
    blank.must()
    old, new = blank.spec().domain, f"{blank.spec().domain}-new"
    assert blank.must(domain=new).observed["restart_needed"] is True
    assert blank.must(domain=new, boots=1, force=True).observed["restart_needed"] is False
    assert new in blank.virsh("list", "--name").split()
    assert old not in blank.virsh("list", "--all", "--name").split()


def test_without_autostart_a_guest_stays_off_after_its_host_was(blank: Vm) -> None:
    spec = blank.spec(autostart=False)
    assert blank.reconciler.apply(spec, silent).ok
    (outcome,) = blank.reconciler.restore([spec], silent)
    assert outcome.observed["state"] == "running"
    blank.virsh("destroy", spec.domain)
    (outcome,) = blank.reconciler.restore([spec], silent)
    assert outcome.observed["state"] == "off"


def test_more_memory_waits_for_the_next_start(blank: Vm) -> None:
    blank.must()
    assert blank.must(memory_mib=128, vcpus=2).observed["restart_needed"] is True
    assert "98304 KiB" in blank.virsh("dominfo", blank.spec().domain)
    blank.must(memory_mib=128, vcpus=2, power="off", force=True)
    assert blank.must(memory_mib=128, vcpus=2).observed["restart_needed"] is False
    assert "131072 KiB" in blank.virsh("dominfo", blank.spec().domain)


def test_what_was_added_by_hand_survives_a_change(blank: Vm, tmp_path: Path) -> None:
    blank.must(power="off")
    domain = blank.spec().domain
    xml = blank.virsh("dumpxml", "--inactive", domain)
    by_hand = tmp_path / "by-hand.xml"
    by_hand.write_text(xml.replace("</devices>", "<watchdog model='i6300esb'/></devices>"))
    blank.virsh("define", str(by_hand))
    assert blank.reconciler.check(blank.spec(power="off")) == ()
    blank.must(power="off", memory_mib=128)
    assert "i6300esb" in blank.virsh("dumpxml", domain)


def test_broken_by_hand_it_is_mended(blank: Vm) -> None:
    blank.must()
    domain = blank.spec().domain
    blank.virsh("destroy", domain)
    blank.must()
    blank.virsh("undefine", domain)
    blank.must()
    blank.virsh("suspend", domain)
    assert blank.must().observed["state"] == "running"
    blank.virsh("destroy", domain, check=False)
    blank.layout.seed.unlink()
    blank.must()


def test_restore_puts_all_back_and_a_bad_one_does_not_keep_the_others(blank: Vm) -> None:
    spec = blank.spec()
    assert blank.reconciler.apply(spec, silent).ok
    blank.virsh("destroy", spec.domain)
    blank.virsh("undefine", spec.domain)
    bad = replace(spec, subject=str(uuid.uuid4()), vcpus=-1)
    outcomes = blank.reconciler.restore([bad, spec], silent)
    assert [outcome.ok for outcome in outcomes] == [False, True]
    assert outcomes[1].observed["state"] == "running"


def test_a_guest_that_does_not_listen_is_not_killed_behind_its_owner(blank: Vm) -> None:
    blank.must()
    outcome = blank.apply(power="off")
    assert (outcome.ok, outcome.code) == (False, "did_not_stop")
    assert outcome.remedy == "Force it off, keep it running, or wait and try again."
    assert outcome.observed["state"] == "running"
    assert blank.steps[-1].state == "failed"


def test_another_wish_ends_the_wait_for_a_guest_that_shuts_down(
    host: LibvirtHost, empty_image: Path
) -> None:
    with made(host, empty_image, stop_seconds=120) as guest:
        guest.must()
        spec = guest.spec(power="off")
        waits = threading.Event()
        outcomes: list[Outcome] = []

        def told(step: Step) -> None:
            if "to shut down" in step.sentence:
                waits.set()

        thread = threading.Thread(
            target=lambda: outcomes.append(_fresh(host, patience=120).apply(spec, told))
        )
        thread.start()
        assert waits.wait(60)
        hurry.note(host.paths, spec.subject, spec.generation + 1)
        thread.join(60)
        assert [outcome.code for outcome in outcomes] == ["overtaken"]
        assert guest.must(power="off", force=True).observed["state"] == "off"
        assert not (host.paths.run / "hurry" / spec.subject).exists()


def test_a_disk_grows_when_the_guest_is_off(blank: Vm) -> None:
    disk = blank.spec().disks[0]
    blank.must(power="off")
    blank.must(power="off", disks=(replace(disk, size_gib=2),))
    smaller = blank.apply(power="off", disks=(replace(disk, size_gib=1),))
    assert smaller.code == "disk_cannot_shrink"


def test_a_running_guest_gets_disk_nic_memory_and_cpu_at_once(
    host: LibvirtHost, image: Path
) -> None:
    with made(host, image) as guest:
        usual = guest.spec()
        assert not guest.must(max_vcpus=2, memory_mib=128).observed["restart_needed"]
        guest.wait_for_line("kvmweb-hello: configured")
        nic = replace(usual.nics[0], tap=f"{usual.nics[0].tap}x", mac="52:54:00:00:03:01")
        data = DiskSpec(id="data", size_gib=1)
        disks = (replace(usual.disks[0], size_gib=2), data)
        more = {"max_vcpus": 2, "vcpus": 2, "memory_mib": 128, "disks": disks}
        outcome = guest.must(nics=(*usual.nics, nic), **more)
        assert not outcome.observed["restart_needed"], guest.steps
        live = guest.virsh("dumpxml", usual.domain)
        assert nic.mac in live
        assert str(guest.layout.disk("data")) in live
        assert "2048.0 MiB" not in live
        assert f"{2 << 30}" in guest.virsh("domblkinfo", usual.domain, "vda")
        assert nic.tap in host.run("ip", "-br", "link", "show", "master", BRIDGE)
        # What the guest was given by plugging is there after its next start too.
        assert not guest.must(nics=(*usual.nics, nic), boots=1, force=True, **more).observed[
            "restart_needed"
        ]


def test_rebuilt_a_guest_starts_from_the_new_disk_and_the_old_one_is_gone(
    host: LibvirtHost, image: Path, empty_image: Path
) -> None:
    with made(host, empty_image) as guest:
        data = DiskSpec(id="data", size_gib=1)
        guest.must(disks=(*guest.spec().disks, data))
        with pytest.raises(AssertionError):
            guest.wait_for_line("kvmweb-hello: configured", seconds=0)
        fresh = DiskSpec(id="fresh", size_gib=1, image=image_of(image))
        outcome = guest.must(disks=(fresh, data), boots=1, force=True)
        assert (outcome.observed["boots"], outcome.observed["restart_needed"]) == (1, False)
        guest.wait_for_line("kvmweb-hello: configured")
        assert not guest.layout.disk("root").exists()
        assert guest.layout.disk("data").exists()

        # Its copy waits for it to be off, and is another machine to cloud-init.
        copied = Vm(host, image_of(image))
        source = DiskSource(vm=guest.spec().subject, disk="fresh")
        mine = {"disks": (replace(fresh, id="copy", copy_of=source),)}
        assert copied.apply(**mine).code == "source_runs"
        guest.must(disks=(fresh, data), boots=1, power="off")
        copied.must(**mine)
        copied.wait_for_line("kvmweb-hello: configured")
        instance = copied.spec().subject
        assert f"configured for instance {instance}" in copied.serial()
        copied.must(present=False)


def test_rescued_a_guest_starts_from_another_disk_and_an_iso_comes_and_goes(
    host: LibvirtHost, image: Path, empty_image: Path
) -> None:
    with made(host, empty_image, stop_seconds=1) as guest:
        own, iso = guest.spec().disks, image_of(image, "iso")
        guest.must(boot=("root",))
        rescue = DiskSpec(id="rescue", size_gib=1, image=image_of(image))
        during = {"disks": (*own, rescue), "boot": ("rescue", "root"), "drive": DriveSpec()}
        guest.must(**during, boots=1, force=True)
        guest.wait_for_line("kvmweb-hello: configured")
        domain = guest.spec().domain
        inserted = guest.must(**during | {"drive": DriveSpec(image=iso)}, boots=1)
        assert not inserted.observed["restart_needed"], guest.steps
        assert iso.sha256 in guest.virsh("domblklist", domain)
        assert not guest.must(**during, boots=1).observed["restart_needed"]
        drive = [line.split() for line in guest.virsh("domblklist", domain).splitlines()]
        assert ["sda", "-"] in drive
        # And back: the rescue system's own disk goes.
        guest.must(boot=("cdrom", "root"), drive=DriveSpec(image=iso), boots=2, force=True)
        assert not guest.layout.disk("rescue").exists()
        assert iso.sha256 in guest.virsh("domblklist", domain)


def _rescued(guest: Vm) -> VmSpec:
    guest.must(boot=("root",))
    own = guest.spec().disks
    iso = own[0].image
    return guest.spec(
        disks=(*own, DiskSpec(id="rescue", size_gib=1)),
        drive=DriveSpec(image=iso),
        boot=("rescue", "root"),
        boots=1,
        force=True,
    )


def test_a_second_disk_and_nic_come_and_go(blank: Vm) -> None:
    usual = blank.spec()
    nic = replace(usual.nics[0], tap="ktx", mac="52:54:00:00:01:01")
    blank.must(disks=(*usual.disks, DiskSpec(id="data", size_gib=1)), nics=(*usual.nics, nic))
    blank.must(power="off", force=True)
    assert not blank.layout.disk("data").exists()
    blank.must()


def test_as_many_disks_and_nics_as_a_vm_may_have_find_a_place(blank: Vm) -> None:
    nic = blank.spec().nics[0]
    blank.must(
        power="off",
        disks=tuple(DiskSpec(id=f"d{number}", size_gib=1) for number in range(MOST_DISKS)),
        nics=tuple(
            replace(nic, tap=f"kt{number}", mac=f"52:54:00:00:02:{number:02x}")
            for number in range(MOST_NICS)
        ),
    )


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"vcpus": -1}, "vcpus"),
        ({"vcpus": 0}, "vcpus"),
        ({"memory_mib": -5}, "memory_mib"),
        ({"memory_mib": 1 << 40}, "memory_mib"),
        ({"domain": "../../etc"}, "domain"),
        ({"disks": (DiskSpec(id="../../etc/passwd", size_gib=1),)}, "disks"),
        ({"subject": "../.."}, "subject"),
    ],
)
def test_a_spec_that_could_do_harm_reaches_nothing(
    blank: Vm, changes: dict[str, Any], field: str
) -> None:
    outcome = blank.apply(**changes)
    assert (outcome.ok, outcome.code) == (False, f"invalid_{field}")
    assert blank.leaves_nothing()


def test_more_memory_than_the_host_has_is_refused_by_qemu_and_said(blank: Vm) -> None:
    outcome = blank.apply(memory_mib=4 << 20)
    assert outcome.code == "not_enough_memory", outcome
    assert blank.must(power="off").ok


def test_a_missing_bridge_is_named(blank: Vm) -> None:
    nic = replace(blank.spec().nics[0], bridge="kwgone")
    outcome = blank.apply(nics=(nic,))
    assert outcome.code == "bridge_missing", outcome
    assert "Repair the network" in outcome.remedy


def test_a_name_taken_by_another_domain_is_said(blank: Vm, host: LibvirtHost) -> None:
    blank.must(power="off")
    image = blank.spec().disks[0].image
    assert image is not None
    other = Vm(host, image)
    outcome = other.apply(domain=blank.spec().domain, power="off")
    assert outcome.code == "domain_name_taken", outcome
    other.must(present=False)


def test_libvirtd_away_or_hung_is_busy_within_the_deadline(host: LibvirtHost, blank: Vm) -> None:
    blank.must(power="off")
    domains = Domains(host.uri, call_seconds=1)
    reconciler = VmReconciler(host.paths, domains, accelerator=lambda: "tcg")
    spec = blank.spec(power="off")
    assert reconciler.apply(spec, silent).ok
    pid = host.daemon.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        for attempt in (reconciler, _fresh(host)):
            begin = time.monotonic()
            outcome = attempt.apply(spec, silent)
            assert (outcome.ok, outcome.code) == (False, "host_busy")
            assert time.monotonic() - begin < 10
    finally:
        os.kill(pid, signal.SIGCONT)
    assert reconciler.apply(spec, silent).ok


def _fresh(host: LibvirtHost, *, patience: float = 1) -> VmReconciler:
    domains = Domains(host.uri, call_seconds=patience)
    return VmReconciler(host.paths, domains, accelerator=lambda: "tcg", stop_seconds=patience)


def test_no_libvirtd_at_all_is_busy(host: LibvirtHost, blank: Vm) -> None:
    domains = Domains(f"qemu+unix:///system?socket={host.folder}/nobody")
    reconciler = VmReconciler(host.paths, domains, accelerator=lambda: "tcg")
    outcome = reconciler.apply(blank.spec(), silent)
    assert (outcome.ok, outcome.code) == (False, "host_busy")
    assert "cannot be reached" in outcome.message


def test_two_at_once_do_the_work_once(host: LibvirtHost, blank: Vm) -> None:
    spec = blank.spec()
    outcomes: list[Outcome] = []
    steps: list[Step] = []

    def work() -> None:
        outcomes.append(_fresh(host).apply(spec, steps.append))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outcome.ok for outcome in outcomes] == [True, True]
    assert len([step for step in steps if step.sentence.startswith("Started")]) == 1


def killed(host: LibvirtHost, spec: VmSpec, operations: int) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "tests.vms.host.killed", host.uri, host.folder, str(operations)],
        input=msgspec.json.encode(spec),
        cwd=ROOT,
        check=False,
        capture_output=True,
        timeout=60,
    )


Prepare = Callable[[Vm], VmSpec]


def _new(guest: Vm) -> VmSpec:
    image = guest.spec().disks[0].image
    assert image is not None
    guest.layout.image(image.sha256).unlink(missing_ok=True)
    return guest.spec()


def _gone(guest: Vm) -> VmSpec:
    guest.must()
    return guest.spec(present=False)


def _changed(guest: Vm) -> VmSpec:
    disk = guest.spec().disks[0]
    guest.must(disks=(disk, DiskSpec(id="data", size_gib=1)))
    seed = SeedSpec(instance_id="2", hostname="other")
    return guest.spec(power="off", force=True, memory_mib=128, seed=seed)


def _reset(guest: Vm) -> VmSpec:
    guest.must()
    return guest.spec(boots=1, force=True)


def _saved(guest: Vm) -> VmSpec:
    guest.must()
    return guest.spec(power="saved", memory_mib=128)


def _rebuilt(guest: Vm) -> VmSpec:
    guest.must()
    disk = guest.spec().disks[0]
    return guest.spec(disks=(replace(disk, id="fresh"),), boots=1, force=True)


@pytest.mark.parametrize("prepare", [_new, _gone, _changed, _reset, _saved, _rebuilt, _rescued])
def test_killed_after_each_operation_it_is_finished_the_next_time(
    host: LibvirtHost, blank: Vm, prepare: Prepare
) -> None:
    for operations in itertools.count(1):
        spec = prepare(blank)
        done = killed(host, spec, operations)
        if done.returncode == 0:
            assert operations > 2
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert blank.reconciler.apply(spec, silent).ok
        assert blank.reconciler.check(spec) == ()
        if spec.present:
            blank.must(present=False)
        assert blank.leaves_nothing()
