"""The domain's XML: golden files, libvirt's own schema, and texts that mean harm."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from tests.vms.host.vm_cases import LAYOUT, NIC, vm
from vms.host import domain_xml
from vms.host.spec import DiskSpec, RunsUnder, VmSpec

pytestmark = pytest.mark.pure

GOLDEN = Path(__file__).parents[2] / "golden" / "xml"
SCHEMA = etree.RelaxNG(etree.parse("/usr/share/libvirt/schemas/domain.rng"))
CASES: dict[str, tuple[VmSpec, RunsUnder]] = {
    "hello-tcg": (vm(), "tcg"),
    "hello-kvm": (vm(), "kvm"),
    "macvtap": (vm(disks=(), nics=(replace(NIC, bridge="", uplink="eth0"),), seed=None), "tcg"),
    "bare": (vm(disks=(), nics=(), seed=None), "tcg"),
    "large": (
        vm(
            vcpus=8,
            memory_mib=16384,
            disks=tuple(DiskSpec(id=f"d{number}", size_gib=10) for number in range(3)),
            nics=(NIC, replace(NIC, mac="52:54:00:00:00:02", tap="kt2", bridge="kw2")),
        ),
        "kvm",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_xml_is_the_golden_one(name: str) -> None:
    """`KVMWEB_UPDATE_GOLDEN=1` writes the files anew."""
    spec, accelerator = CASES[name]
    file = GOLDEN / f"{name}.xml"
    xml = domain_xml.build(spec, LAYOUT, accelerator)
    if os.environ.get("KVMWEB_UPDATE_GOLDEN"):
        file.write_text(xml)
    assert xml == file.read_text()


@pytest.mark.parametrize("name", CASES)
def test_libvirts_schema_accepts_it(name: str) -> None:
    spec, accelerator = CASES[name]
    SCHEMA.assertValid(etree.fromstring(domain_xml.build(spec, LAYOUT, accelerator)))


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_any_name_makes_a_valid_title_and_nothing_else(name: str) -> None:
    root = etree.fromstring(domain_xml.build(vm(name=name), LAYOUT, "tcg"))
    SCHEMA.assertValid(root)
    assert len(root.findall("title")) == 1
    assert "\n" not in (root.findtext("title") or "")


def test_markup_in_a_name_stays_text() -> None:
    name = "</title><devices><emulator>/bin/sh</emulator></devices><!--"
    root = etree.fromstring(domain_xml.build(vm(name=name), LAYOUT, "tcg"))
    assert root.findtext("title") == name
    assert root.find("devices/emulator") is None


@pytest.mark.parametrize("name", CASES)
def test_laying_the_same_over_it_changes_nothing(name: str) -> None:
    spec, accelerator = CASES[name]
    xml = domain_xml.build(spec, LAYOUT, accelerator)
    assert domain_xml.same(xml, domain_xml.merge(xml, spec, LAYOUT, accelerator))
    assert domain_xml.satisfies(xml, spec, LAYOUT, accelerator)


def test_a_disk_keeps_its_name_when_one_before_it_goes() -> None:
    disks = tuple(DiskSpec(id=f"d{number}", size_gib=1) for number in range(3))
    xml = domain_xml.build(vm(disks=disks), LAYOUT, "tcg")
    root = domain_xml.parse(domain_xml.merge(xml, vm(disks=disks[1:]), LAYOUT, "tcg"))
    assert [target.get("dev") for target in root.findall("devices/disk/target")] == [
        "vdb",
        "vdc",
        "vdz",
    ]


def test_a_foreign_disk_and_nic_are_left_alone() -> None:
    root = domain_xml.parse(domain_xml.build(vm(), LAYOUT, "tcg"))
    devices = root.find("devices")
    assert devices is not None
    for xml in (
        "<disk type='file'><source file='/mnt/x.img'/><target dev='vdc' bus='virtio'/></disk>",
        "<interface type='bridge'><mac address='52:54:00:ff:ff:ff'/></interface>",
    ):
        devices.append(domain_xml.parse(xml))
    merged = domain_xml.merge(
        domain_xml.printed(root), vm(disks=(), nics=(), seed=None), LAYOUT, "tcg"
    )
    left = domain_xml.parse(merged)
    assert len(left.findall("devices/disk")) == len(left.findall("devices/interface")) == 1


def test_changing_the_accelerator_replaces_the_cpu() -> None:
    xml = domain_xml.build(vm(), LAYOUT, "tcg")
    root = domain_xml.parse(domain_xml.merge(xml, vm(), LAYOUT, "kvm"))
    SCHEMA.assertValid(root)
    cpus = root.findall("cpu")
    assert [cpu.get("mode") for cpu in cpus] == ["host-passthrough"]
    assert len(cpus[0]) == 0
    back = domain_xml.merge(domain_xml.printed(root), vm(), LAYOUT, "tcg")
    assert "qemu64" in back


def test_no_port_is_opened_for_the_console() -> None:
    root = etree.fromstring(domain_xml.build(vm(), LAYOUT, "tcg"))
    graphics = root.find("devices/graphics")
    assert graphics is not None
    assert graphics.get("port") is None
    assert [listen.get("type") for listen in graphics] == ["none"]
