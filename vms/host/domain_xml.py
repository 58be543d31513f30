"""A VM's libvirt domain, from its spec. Pure; https://libvirt.org/formatdomain.html.

What we want is written in the form libvirt itself prints (KiB, defaults spelled out), and is laid
over the definition there is: our elements and attributes are set, all others are left alone. So
what an operator adds by hand stays, and a definition that already says what the spec says comes
out unchanged, which is how the planner knows. What is fixed at birth (machine type, firmware
devices) is written only into a new definition.

No USB, sound, tablet or IDE is there, because each costs time at boot. Measured with a guest that
is emulated, by the CPU time of QEMU until the guest serves a page: `q35` with virtio devices beside
the root complex takes as long as the leanest QEMU by hand, behind root ports a fifth more, `pc` two
fifths more. So a new definition says where its devices are; those that come later get a root port
from libvirt. Of the video models `vga` costs least (5 %; bochs 10 %, virtio 14 %), and qemu64 with
the x86-64-v2 features 10 % less than `max`.
"""

from __future__ import annotations

import copy
import string
from collections.abc import Iterator

from lxml import etree

from kvmweb.core.names import PORT_PREFIX
from vms.host.layout import Layout
from vms.host.medium_xml import (
    change_medium,
    drive,
    drive_in,
    forget_order,
    is_drive,
    medium,
    set_order,
)
from vms.host.spec import DiskSpec, NicSpec, RunsUnder, VmSpec

NAMESPACE = "https://kvmweb.org/xmlns/1"
_GENERATION = f"{{{NAMESPACE}}}generation"
_BOOTS = f"{{{NAMESPACE}}}boots"
_NSMAP = {"kvmweb": NAMESPACE}
_V2_FEATURES = ("ssse3", "sse4.1", "sse4.2", "popcnt")
_TARGETS = tuple(f"vd{letter}" for letter in string.ascii_lowercase)
_SEED_TARGET = _TARGETS[-1]
SPARE_PORTS = 4
"""Root ports of a new machine for what is plugged in while it runs."""
_SLOTS = range(0x02, 0x19)
_VIRTIO = frozenset({"disk", "interface", "memballoon", "rng"})
_KEYS = {
    "disk": ("source", "file"),
    "interface": ("mac", "address"),
    "graphics": (".", "type"),
    "rng": (".", "model"),
    "feature": (".", "name"),
    "controller": (".", "type"),
}
_AT_BIRTH = frozenset({"uuid", "name", "os", "features", "clock", "pm", "on_crash"})
_DEVICES_AT_BIRTH = frozenset(
    {"serial", "console", "graphics", "video", "rng", "memballoon", "controller"}
)

Element = etree._Element  # noqa: SLF001  # lxml gives the type no other name


def build(spec: VmSpec, layout: Layout, accelerator: RunsUnder) -> str:
    """The definition of a VM that has none yet."""
    domain = _wanted(spec, layout, accelerator)
    set_order(domain, spec, layout)
    _place(_child(domain, "devices"))
    return printed(domain)


def merge(xml: str, spec: VmSpec, layout: Layout, accelerator: RunsUnder) -> str:
    """`xml` with what the spec says laid over it."""
    root = parse(xml)
    wanted = _wanted(spec, layout, accelerator)
    devices = _child(wanted, "devices")
    _forget_vcpus(root, spec)
    for newborn in (*_tagged(wanted, _AT_BIRTH), *_tagged(devices, _DEVICES_AT_BIRTH)):
        _drop(newborn)
    _remove_ours(root, spec, layout)
    _remove_other_cpu(root, wanted)
    _keep_targets(devices, root)
    change_medium(root, spec, layout)
    forget_order(root, spec, layout)
    set_order(wanted, spec, layout)
    _lay(wanted, root)
    return printed(root)


def satisfies(live_xml: str, spec: VmSpec, layout: Layout, accelerator: RunsUnder) -> bool:
    """Whether a running guest has what the spec says; its title does not matter to it, nor how
    much memory or how many CPUs it could be given.

    Nor does how its CPU was checked, which libvirt notes in its own words once it runs.
    """
    live = parse(live_xml)
    if memory_mib(live)[0] != spec.memory_mib or vcpus(live)[0] != spec.vcpus:
        return False
    merged = parse(merge(live_xml, spec, layout, accelerator))
    for root in (live, merged):
        for tag in ("title", "metadata", "memory", "currentMemory", "vcpu", "vcpus"):
            if (found := root.find(tag)) is not None:
                root.remove(found)
        if (cpu := root.find("cpu")) is not None:
            cpu.set("check", "none")
    return _canonical(live) == _canonical(merged)


def same(one: str, other: str) -> bool:
    """Whether two definitions differ in nothing but white space and the generation noted."""
    return _canonical(parse(one)) == _canonical(parse(other))


def disk_files(xml: str) -> frozenset[str]:
    """The files of all its disks."""
    return frozenset(
        _attribute(disk, "source", "file") for disk in parse(xml).findall("devices/disk")
    )


def boots(xml: str) -> int:
    """The count of fresh starts that a definition was made for."""
    found = parse(xml).find(f"metadata//{_BOOTS}")
    text = "" if found is None else found.text or ""
    return int(text) if text.isdecimal() else 0


def with_boots(xml: str, count: int) -> str:
    """A definition that carries another count of fresh starts."""
    root = parse(xml)
    if (found := root.find(f"metadata//{_BOOTS}")) is not None:
        found.text = str(count)
    return printed(root)


def has_agent(xml: str) -> bool:
    """Whether the guest agent listens in a guest that runs."""
    path = "devices/channel/target[@name='org.qemu.guest_agent.0']"
    return any(target.get("state") == "connected" for target in parse(xml).findall(path))


def disk_targets(xml: str) -> tuple[str, ...]:
    """The names of all its disks, such as vda."""
    return tuple(_attribute(disk, "target", "dev") for disk in parse(xml).findall("devices/disk"))


def name_of(xml: str) -> str:
    """A definition's libvirt name."""
    return parse(xml).findtext("name", "")


def renamed(xml: str, name: str) -> str:
    """The definition as it is once its domain has another name."""
    root = parse(xml)
    _child(root, "name").text = name
    return printed(root)


def parse(xml: str) -> Element:
    """Parse what libvirt printed; entities and the network are never touched."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_blank_text=True)
    return etree.fromstring(xml.encode(), parser)


def memory_mib(root: Element) -> tuple[int, int]:
    """What a domain has now, and what it may be given without a new start."""
    most = int(root.findtext("memory", "0")) // 1024
    return int(root.findtext("currentMemory", "") or most * 1024) // 1024, most


def vcpus(root: Element) -> tuple[int, int]:
    """How many a domain has now, and how many it may be given without a new start."""
    vcpu = _child(root, "vcpu")
    most = int(vcpu.text or 1)
    return int(vcpu.get("current", most)), most


def free_ports(root: Element) -> int:
    """How many devices can be plugged into a machine that runs."""
    ports = {
        int(port.get("index", "-1"))
        for port in root.findall("devices/controller[@model='pcie-root-port']")
    }
    used = {int(address.get("bus", "0"), 0) for address in root.findall("devices//address[@bus]")}
    return len(ports - used)


def missing_devices(root: Element, spec: VmSpec, layout: Layout) -> list[str]:
    """The disks and NICs of the spec that a running domain has not, each as libvirt takes it."""
    devices = etree.Element("devices")
    for number, disk in enumerate(spec.disks):
        devices.append(_disk(disk, number, layout))
    for nic in spec.nics:
        devices.append(_interface(nic))
    _keep_targets(devices, root)
    there = _child(root, "devices")
    return [_alone(device) for device in devices if _counterpart(device, there) is None]


def unwanted_devices(root: Element, spec: VmSpec, layout: Layout) -> list[str]:
    """The disks and NICs of ours in a running domain that the spec no longer has."""
    return [_alone(device) for device in _no_longer_ours(root, spec, layout)]


def other_medium(root: Element, spec: VmSpec, layout: Layout) -> str:
    """The drive of a running domain with what the spec has in it; empty where that is so, or where
    it has no drive."""
    there, wanted = drive_in(root), drive(spec, layout)
    if there is None or wanted is None or medium(there) == medium(wanted):
        return ""
    return _alone(wanted)


def _alone(device: Element) -> str:
    return etree.tostring(device, encoding="unicode", with_tail=False)


def printed(root: Element) -> str:
    """As text, indented."""
    return etree.tostring(root, encoding="unicode", pretty_print=True)


def _wanted(spec: VmSpec, layout: Layout, accelerator: RunsUnder) -> Element:
    domain = etree.Element("domain", {"type": "kvm" if accelerator == "kvm" else "qemu"})
    _add(domain, "name", spec.domain)
    _add(domain, "uuid", spec.subject)
    _add(domain, "title", _one_line(spec.name or spec.domain))
    domain.append(_metadata(spec))
    _add(domain, "memory", str(spec.memory_mib * 1024), unit="KiB")
    _add(domain, "currentMemory", str(spec.memory_mib * 1024), unit="KiB")
    domain.append(_vcpu(spec))
    os = _add(domain, "os")
    _add(os, "type", "hvm", arch="x86_64", machine="q35")
    _add(os, "boot", dev="hd")
    _add(os, "bootmenu", enable="no")
    features = _add(domain, "features")
    _add(features, "acpi")
    _add(features, "apic")
    domain.append(_cpu(accelerator))
    _add(domain, "clock", offset="utc")
    _add(domain, "on_crash", "destroy")
    _power_management(domain)
    domain.append(_devices(spec, layout))
    return domain


def _metadata(spec: VmSpec) -> Element:
    metadata = etree.Element("metadata")
    vm = etree.SubElement(metadata, f"{{{NAMESPACE}}}vm", nsmap=_NSMAP)
    etree.SubElement(vm, f"{{{NAMESPACE}}}subject").text = spec.subject
    etree.SubElement(vm, _GENERATION).text = str(spec.generation)
    etree.SubElement(vm, _BOOTS).text = str(spec.boots)
    return metadata


def _vcpu(spec: VmSpec) -> Element:
    """libvirt notes the number in use where it is not all of them."""
    vcpu = etree.Element("vcpu", placement="static")
    vcpu.text = str(max(spec.vcpus, spec.max_vcpus))
    if spec.vcpus < spec.max_vcpus:
        vcpu.set("current", str(spec.vcpus))
    return vcpu


def _forget_vcpus(root: Element, spec: VmSpec) -> None:
    """Take out what else a definition says of CPUs in use, where the spec says otherwise."""
    found = root.find("vcpu")
    if found is not None and vcpus(root) != (spec.vcpus, max(spec.vcpus, spec.max_vcpus)):
        found.attrib.pop("current", "")
        if (each := root.find("vcpus")) is not None:
            root.remove(each)


def _cpu(accelerator: RunsUnder) -> Element:
    if accelerator == "kvm":
        return etree.Element("cpu", mode="host-passthrough", check="none", migratable="on")
    cpu = etree.Element("cpu", mode="custom", match="exact", check="none")
    _add(cpu, "model", "qemu64", fallback="forbid")
    for feature in _V2_FEATURES:
        _add(cpu, "feature", policy="require", name=feature)
    return cpu


def _power_management(domain: Element) -> None:
    pm = _add(domain, "pm")
    _add(pm, "suspend-to-mem", enabled="no")
    _add(pm, "suspend-to-disk", enabled="no")


def _devices(spec: VmSpec, layout: Layout) -> Element:
    devices = etree.Element("devices")
    for number, disk in enumerate(spec.disks):
        devices.append(_disk(disk, number, layout))
    if spec.seed:
        devices.append(_seed(layout))
    if (cd := drive(spec, layout)) is not None:
        devices.append(cd)
    _add(devices, "controller", type="usb", model="none")
    for nic in spec.nics:
        devices.append(_interface(nic))
    for kind, target in (("serial", "isa-serial"), ("console", "")):
        port = _add(devices, kind, type="pty")
        if kind == "serial":
            _add(port, "log", file=str(layout.serial_log), append="on")
        _add(port, "target", port="0", type=target or "serial")
    for number in range(1, SPARE_PORTS + 1):
        _add(devices, "controller", type="pci", index=str(number), model="pcie-root-port")
    graphics = _add(devices, "graphics", type="vnc")
    _add(graphics, "listen", type="none")
    _add(_add(devices, "video"), "model", type="vga", vram="16384", heads="1", primary="yes")
    _add(devices, "memballoon", model="virtio")
    _add(_add(devices, "rng", model="virtio"), "backend", "/dev/urandom", model="random")
    return devices


def _place(devices: Element) -> None:
    """Put the first devices beside the root complex; for the rest libvirt finds a place.

    Slot 1 is where libvirt has the primary video device, 0x1f holds the chip set; slots are left
    for the root ports of what does not fit or comes later.
    """
    virtio = [each for each in _tagged(devices, _VIRTIO) if not is_drive(each)]
    for slot, device in zip(_SLOTS, virtio, strict=False):
        _add(
            device,
            "address",
            type="pci",
            domain="0x0000",
            bus="0x00",
            slot=f"0x{slot:02x}",
            function="0x0",
        )


def _disk(disk: DiskSpec, number: int, layout: Layout) -> Element:
    device = etree.Element("disk", type="file", device="disk")
    _add(device, "driver", name="qemu", type="qcow2", discard="unmap")
    _add(device, "source", file=str(layout.disk(disk.id)))
    _add(device, "target", dev=_TARGETS[number], bus="virtio")
    return device


def _seed(layout: Layout) -> Element:
    """A read-only disk: cloud-init finds it by its label, and small kernels have no CD-ROM."""
    device = etree.Element("disk", type="file", device="disk")
    _add(device, "driver", name="qemu", type="raw")
    _add(device, "source", file=str(layout.seed))
    _add(device, "target", dev=_SEED_TARGET, bus="virtio")
    _add(device, "readonly")
    return device


def _interface(nic: NicSpec) -> Element:
    device = etree.Element("interface", type="direct" if nic.uplink else "bridge")
    _add(device, "mac", address=nic.mac)
    if nic.uplink:
        _add(device, "source", dev=nic.uplink, mode="bridge")
    else:
        _add(device, "source", bridge=nic.bridge)
    _add(device, "target", dev=nic.tap)
    _add(device, "model", type="virtio")
    _add(device, "rom", enabled="no")
    return device


def _remove_ours(root: Element, spec: VmSpec, layout: Layout) -> None:
    for device in list(_no_longer_ours(root, spec, layout)):
        _drop(device)


def _no_longer_ours(root: Element, spec: VmSpec, layout: Layout) -> Iterator[Element]:
    """Disks in our folder and NICs with our taps that the spec no longer has."""
    files = {str(layout.disk(disk.id)) for disk in spec.disks}
    if spec.seed:
        files.add(str(layout.seed))
    macs = {nic.mac for nic in spec.nics}
    for disk in root.findall("devices/disk"):
        file = _attribute(disk, "source", "file")
        if file.startswith(f"{layout.folder}/") and file not in files:
            yield disk
    for interface in root.findall("devices/interface"):
        tap, mac = _attribute(interface, "target", "dev"), _attribute(interface, "mac", "address")
        if tap.startswith(PORT_PREFIX) and mac not in macs:
            yield interface


def _remove_other_cpu(root: Element, wanted: Element) -> None:
    """A CPU of another mode has children that ours must not inherit."""
    cpu = root.find("cpu")
    if cpu is not None and cpu.get("mode") != _child(wanted, "cpu").get("mode"):
        root.remove(cpu)


def _keep_targets(devices: Element, root: Element) -> None:
    """A disk keeps the name it has; a new one gets the first that is free."""
    named = {
        _attribute(disk, "source", "file"): _attribute(disk, "target", "dev")
        for disk in root.findall("devices/disk")
        if not is_drive(disk)
    }
    free = (name for name in _TARGETS if name not in named.values())
    for disk in devices.findall("disk"):
        file, target = _attribute(disk, "source", "file"), _child(disk, "target")
        if is_drive(disk):
            continue
        if file in named:
            target.set("dev", named[file])
        elif target.get("dev") in named.values():
            target.set("dev", next(free))


def _lay(wanted: Element, there: Element) -> None:
    """Set all that `wanted` says in `there`, and only that."""
    for name, value in wanted.attrib.items():
        there.set(name, value)
    if (wanted.text or "").strip():
        there.text = wanted.text
    for child in wanted:
        counterpart = _counterpart(child, there)
        if counterpart is None:
            there.append(copy.deepcopy(child))
        else:
            _lay(child, counterpart)


def _counterpart(wanted: Element, parent: Element) -> Element | None:
    if is_drive(wanted):
        return drive_in(parent)
    path, attribute = _KEYS.get(str(wanted.tag), ("", ""))
    for child in parent.findall(str(wanted.tag)):
        if not path or _attribute(child, path, attribute) == _attribute(wanted, path, attribute):
            return child
    return None


def _attribute(element: Element, path: str, name: str) -> str:
    found = element if path == "." else element.find(path)
    return "" if found is None else found.get(name, "")


def _tagged(parent: Element, tags: frozenset[str]) -> list[Element]:
    return [child for child in parent if child.tag in tags]


def _child(element: Element, tag: str) -> Element:
    found = element.find(tag)
    if found is None:
        raise ValueError(f"no <{tag}> in <{element.tag}>")
    return found


def _drop(element: Element) -> None:
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)


def _add(parent: Element, tag: str, text: str = "", /, **attributes: str) -> Element:
    element = etree.SubElement(parent, tag, attributes)
    if text:
        element.text = text
    return element


def _one_line(text: str) -> str:
    """libvirt refuses a title with a line break; XML, most control characters."""
    return "".join(_printable(text)) or "VM"


def _printable(text: str) -> Iterator[str]:
    return (character if character.isprintable() else " " for character in text)


def _canonical(root: Element) -> bytes:
    for generation in root.findall(f"metadata//{_GENERATION}"):
        generation.text = ""
    return etree.tostring(root, method="c14n")
