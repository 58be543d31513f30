"""What must hold of a spec before anything of it reaches QEMU, libvirt or a path.

The panel checks the same with better words; this is the host's own guard. libvirtd 9.0 aborts on a
domain with -1 virtual CPUs.
"""

from __future__ import annotations

import re
import uuid

from kvmweb.core.errors import Invalid
from vms.host.spec import DiskSpec, NicSpec, VmSpec

MOST_VCPUS = 240
LEAST_MEMORY_MIB = 32
MOST_MEMORY_MIB = 4 << 20
MOST_DISKS = 24
MOST_NICS = 16
MOST_SNAPSHOTS = 200
MOST_GIB = 64 << 10
_DOMAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,127}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_INTERFACE = re.compile(r"[A-Za-z0-9_.-]{1,15}")
_MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def refuse_bad(spec: VmSpec) -> None:
    """Raises Invalid, naming the field."""
    _refuse(not _is_uuid(spec.subject), "subject", "The VM's id is not a UUID.")
    if not spec.present:
        return
    _refuse(not _DOMAIN.fullmatch(spec.domain), "domain", "The domain's name has odd characters.")
    _refuse(
        not 1 <= spec.vcpus <= MOST_VCPUS,
        "vcpus",
        f"A VM has 1 to {MOST_VCPUS} virtual CPUs, not {spec.vcpus}.",
    )
    _refuse(
        not 0 <= spec.max_vcpus <= MOST_VCPUS,
        "max_vcpus",
        f"A VM may get up to {MOST_VCPUS} virtual CPUs, not {spec.max_vcpus}.",
    )
    _refuse(
        not LEAST_MEMORY_MIB <= spec.memory_mib <= MOST_MEMORY_MIB,
        "memory_mib",
        f"A VM has {LEAST_MEMORY_MIB} to {MOST_MEMORY_MIB} MiB of memory, not {spec.memory_mib}.",
    )
    _refuse(len(spec.disks) > MOST_DISKS, "disks", f"A VM has at most {MOST_DISKS} disks.")
    _refuse(len(spec.nics) > MOST_NICS, "nics", f"A VM has at most {MOST_NICS} NICs.")
    _refuse_twice([disk.id for disk in spec.disks], "disks")
    _refuse_twice([nic.mac for nic in spec.nics], "nics")
    _refuse_bad_snapshots(spec)
    for disk in spec.disks:
        _refuse_bad_disk(disk)
    for nic in spec.nics:
        _refuse_bad_nic(nic)
    _refuse_twice(list(spec.boot), "boot")
    if spec.drive and spec.drive.image:
        _refuse(not _SHA256.fullmatch(spec.drive.image.sha256), "drive", "No SHA-256 of an ISO.")


def _refuse_bad_disk(disk: DiskSpec) -> None:
    _refuse(not _ID.fullmatch(disk.id), "disks", "A disk's id has odd characters.")
    _refuse(
        not 1 <= disk.size_gib <= MOST_GIB,
        "disks",
        f"A disk has 1 to {MOST_GIB} GiB, not {disk.size_gib}.",
    )
    if (source := disk.copy_of) and not all(
        _ID.fullmatch(part) for part in (source.vm, source.disk, source.snapshot or "none")
    ):
        raise Invalid("The source of a disk has odd characters.", field="disks")
    if image := disk.image:
        _refuse(not _SHA256.fullmatch(image.sha256), "image", "The image's sha256 is not one.")


def _refuse_bad_snapshots(spec: VmSpec) -> None:
    _refuse(
        len(spec.snapshots) > MOST_SNAPSHOTS,
        "snapshots",
        f"A VM has at most {MOST_SNAPSHOTS} snapshots.",
    )
    _refuse_twice([snapshot.id for snapshot in spec.snapshots], "snapshots")
    named = [(snapshot.id, *snapshot.disks) for snapshot in spec.snapshots]
    if spec.back:
        named.append((spec.back.snapshot, *spec.back.disks))
    wrong = [part for parts in named for part in parts if not _ID.fullmatch(part)]
    _refuse(wrong, "snapshots", "The id of a snapshot or of its disk has odd characters.")


def _refuse_bad_nic(nic: NicSpec) -> None:
    for name in (nic.uplink or nic.bridge, nic.tap):
        _refuse(not _INTERFACE.fullmatch(name), "nics", f"“{name}” is not an interface's name.")
    _refuse(not _MAC.fullmatch(nic.mac), "nics", f"“{nic.mac}” is not a MAC of one NIC.")


def _refuse_twice(values: list[str], field: str) -> None:
    _refuse(len(values) != len(set(values)), field, f"The same of the {field} is there twice.")


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _refuse(wrong: object, field: str, message: str) -> None:
    if wrong:
        raise Invalid(message, field=field, code=f"invalid_{field}")
