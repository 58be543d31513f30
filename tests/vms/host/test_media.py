"""A drive with ISOs and the order of boot, in definitions old and new."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.vms.host.vm_cases import IMAGE, LAYOUT, NIC, vm
from vms.host import domain_xml
from vms.host.live import live_ops
from vms.host.ops import ChangeMedium, FetchImage
from vms.host.plan import plan, restart_needed
from vms.host.spec import DiskSpec, DriveSpec, VmSpec
from vms.host.state import DomainState, VmState

pytestmark = pytest.mark.pure

ISO = replace(IMAGE, id="iso", name="rescue", sha256="cd" * 32)
WITH_ISO = vm(drive=DriveSpec(image=ISO))
EMPTY = vm(drive=DriveSpec())


def orders(xml: str) -> list[tuple[str, str]]:
    """What is tried at boot, in order, by its target."""
    devices = [
        device
        for device in domain_xml.parse(xml).findall("devices/*")
        if device.find("boot") is not None
    ]
    return sorted(
        (device.find("boot").get("order", ""), device.find("target").get("dev", ""))  # type: ignore[union-attr]
        for device in devices
    )


def built(spec: VmSpec) -> str:
    return domain_xml.build(spec, LAYOUT, "tcg")


def merged(xml: str, spec: VmSpec) -> str:
    return domain_xml.merge(xml, spec, LAYOUT, "tcg")


@pytest.mark.parametrize("before", [vm(), EMPTY, WITH_ISO], ids=["no drive", "empty", "with ISO"])
@pytest.mark.parametrize("after", [EMPTY, WITH_ISO], ids=["empty", "with ISO"])
def test_whatever_was_in_the_drive_the_spec_says_what_is(before: VmSpec, after: VmSpec) -> None:
    xml = merged(built(before), after)
    drives = domain_xml.parse(xml).findall("devices/disk[@device='cdrom']")
    assert len(drives) == 1
    source = drives[0].find("source")
    file = None if source is None else source.get("file")
    assert file == (str(LAYOUT.image(ISO.sha256)) if after is WITH_ISO else None)
    assert domain_xml.same(merged(xml, after), xml)
    assert drives[0].find("address") is None, "SATA has its own place"


def test_a_drive_that_operators_added_is_left_alone() -> None:
    theirs = (
        "<disk type='file' device='cdrom'><source file='/srv/their.iso'/>"
        "<target dev='sdb' bus='sata'/></disk></devices>"
    )
    xml = built(vm()).replace("</devices>", theirs)
    assert domain_xml.same(merged(xml, vm()), xml)
    assert "/srv/their.iso" in merged(xml, WITH_ISO)


def test_a_running_guest_with_a_drive_gets_the_iso_at_once() -> None:
    (op,) = live_ops(built(EMPTY), WITH_ISO, LAYOUT)
    assert isinstance(op, ChangeMedium)
    assert op.sentence == "Put an ISO into the drive of the running hello"
    assert ISO.sha256 in op.xml
    (back,) = live_ops(built(WITH_ISO), EMPTY, LAYOUT)
    assert back.sentence == "Emptied the drive of the running hello"


def test_a_running_guest_without_a_drive_gets_one_at_its_next_start() -> None:
    domain = DomainState(state="running", xml=built(vm()), live_xml=built(vm()))
    state = VmState(layout=LAYOUT, accelerator="tcg", domain=domain)
    assert list(live_ops(domain.live_xml, WITH_ISO, LAYOUT)) == []
    assert restart_needed(WITH_ISO, state)


def test_an_iso_is_fetched_before_a_guest_is_touched() -> None:
    there = VmState(layout=LAYOUT, accelerator="tcg", images=frozenset({IMAGE.sha256}))
    fetched = [op.image for op in plan(WITH_ISO, there) if isinstance(op, FetchImage)]
    assert fetched == [ISO]


def test_the_order_of_boot_takes_the_place_of_the_one_by_kinds() -> None:
    disks = (*vm().disks, DiskSpec(id="d2", size_gib=1))
    usual = built(vm(disks=disks))
    assert '<boot dev="hd"/>' in usual
    spec = vm(disks=disks, boot=("d2", "n1", "d1"))
    for xml in (built(spec), merged(usual, spec)):
        assert orders(xml) == [("1", "vdb"), ("2", NIC.tap), ("3", "vda")]
        assert "boot dev" not in xml
        assert domain_xml.same(merged(xml, spec), xml)
    other = merged(built(spec), vm(disks=disks, boot=("d1",)))
    assert orders(other) == [("1", "vda")]


def test_a_rescue_system_goes_first_and_leaves_nothing() -> None:
    rescue = DiskSpec(id="r1", size_gib=1, image=IMAGE)
    during = vm(disks=(*vm().disks, rescue), boot=("r1", "d1"))
    xml = merged(built(vm()), during)
    assert orders(xml) == [("1", "vdb"), ("2", "vda")]
    after = merged(xml, vm(boot=("d1",)))
    assert orders(after) == [("1", "vda")]
    assert "r1" not in after
