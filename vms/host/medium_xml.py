"""The CD drive of a domain and the order its devices are tried in at boot. Pure.

A drive is on SATA, which QEMU's q35 has anyway, and cannot be plugged in or out while the machine
runs; what is in it can. So a VM gets one when it first needs it, and keeps it.
"""

from __future__ import annotations

from lxml import etree

from vms.host.layout import Layout
from vms.host.spec import VmSpec

Element = etree._Element  # noqa: SLF001  # lxml gives the type no other name

DRIVE = "cdrom"
"""The name of the drive in `VmSpec.boot`."""
_TARGET = "sda"


def drive(spec: VmSpec, layout: Layout) -> Element | None:
    """The drive as libvirt takes it; None for a VM without one."""
    if spec.drive is None:
        return None
    device = etree.Element("disk", type="file", device="cdrom")
    etree.SubElement(device, "driver", name="qemu", type="qcow2")
    if spec.drive.image:
        etree.SubElement(device, "source", file=str(layout.image(spec.drive.image.sha256)))
    etree.SubElement(device, "target", dev=_TARGET, bus="sata")
    etree.SubElement(device, "readonly")
    return device


def drive_in(root: Element) -> Element | None:
    """The drive of a domain, or of its devices."""
    return next(
        (
            disk
            for disk in root.iter("disk")
            if disk.get("device") == "cdrom" and disk.find(f"target[@dev='{_TARGET}']") is not None
        ),
        None,
    )


def is_drive(device: Element) -> bool:
    return device.tag == "disk" and device.get("device") == "cdrom"


def medium(found: Element | None) -> str:
    """The file that is in a drive; empty when there is none."""
    source = None if found is None else found.find("source")
    return "" if source is None else source.get("file", "")


def change_medium(root: Element, spec: VmSpec, layout: Layout) -> None:
    """Take out of a definition's drive what the spec has not in it."""
    there, wanted = drive_in(root), drive(spec, layout)
    if there is None or wanted is None or medium(there) == medium(wanted):
        return
    for tag in ("source", "backingStore"):
        for child in there.findall(tag):
            there.remove(child)


def set_order(domain: Element, spec: VmSpec, layout: Layout) -> None:
    """Number the devices of what is wanted; then libvirt allows no order by kinds beside it."""
    if not spec.boot:
        return
    _drop(domain.findall("os/boot"))
    for number, name in enumerate(spec.boot, start=1):
        if (device := _device(domain, spec, layout, name)) is not None:
            etree.SubElement(device, "boot", order=str(number))


def forget_order(root: Element, spec: VmSpec, layout: Layout) -> None:
    """Take out of a definition what another order leaves no room for.

    Numbers of devices that are numbered again stay where libvirt has put them.
    """
    if not spec.boot:
        return
    kept = [_device(root, spec, layout, name) for name in spec.boot]
    _drop(root.findall("os/boot"))
    _drop([boot for boot in root.findall("devices/*/boot") if boot.getparent() not in kept])


def _drop(elements: list[Element]) -> None:
    for element in elements:
        if (parent := element.getparent()) is not None:
            parent.remove(element)


def _device(domain: Element, spec: VmSpec, layout: Layout, name: str) -> Element | None:
    if name == DRIVE:
        return drive_in(domain)
    file, macs = str(layout.disk(name)), {nic.id: nic.mac for nic in spec.nics}
    for device in domain.findall("devices/*"):
        source, mac = device.find("source"), device.find("mac")
        if device.tag == "disk" and source is not None and source.get("file") == file:
            return device
        if name in macs and mac is not None and mac.get("address") == macs[name]:
            return device
    return None
