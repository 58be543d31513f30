"""Which format a file has, told from its content alone, and which files are refused.

A disk image may name other files that QEMU would then read: the host's. Whatever can do so is
refused here, before QEMU sees it: qcow2 with a backing or data file, VMDK that is only a
description or has a parent. Headers: docs/interop/qcow2.txt of QEMU; Virtual Disk Format 5.0 of
VMware; MS-VHDX.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, cast

from vms.library.failures import CONVERT, BadImage

Disk = Literal["qcow2", "vmdk", "vhdx", "raw", "iso"]
Packing = Literal["gzip", "xz", "bzip2"]

_HEAD = 64 * 1024
_ISO_AT, _ISO = 0x8001, b"CD001"
_QCOW2 = struct.Struct(">4sIQIIQI")
_QCOW2_FEATURES_AT = 72
_EXTERNAL_DATA = 1 << 2
_VMDK = struct.Struct("<4sIIQQQQ")
_SECTOR = 512
_PARENT = b"parentFileNameHint"
_BOOTABLE = b"\x55\xaa"

_PACKINGS: Mapping[bytes, Packing] = MappingProxyType(
    {b"\x1f\x8b": "gzip", b"\xfd7zXZ\x00": "xz", b"BZh": "bzip2"}
)
_DISKS: Mapping[bytes, Disk] = MappingProxyType(
    {b"QFI\xfb": "qcow2", b"KDMV": "vmdk", b"vhdxfile": "vhdx"}
)
_REFUSED: Mapping[bytes, str] = MappingProxyType(
    {
        b"# Disk DescriptorFile": "a VMDK description, which only names other files",
        b"COWD": "an old sparse VMDK",
        b"conectix": "a VHD",
        b"<<< ": "a VDI",
        b"QED\x00": "a QED image",
        b"PK\x03\x04": "a zip archive",
        b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
        b"\x28\xb5\x2f\xfd": "packed with zstd",
        b"LUKS": "an encrypted volume",
    }
)


def packing_of(path: Path) -> Packing | None:
    """How the file is packed; None when it is not."""
    return next((name for magic, name in _PACKINGS.items() if _head(path).startswith(magic)), None)


def disk_of(path: Path) -> Disk:
    """The format of a disk that stands for itself, or of a medium. Raises BadImage."""
    head = _head(path)
    for magic, disk in _DISKS.items():
        if head.startswith(magic):
            _refuse_references(disk, path, head)
            return disk
    for magic, what in _REFUSED.items():
        if head.startswith(magic):
            raise _refused(f"The file is {what}.", CONVERT)
    if head[257:262] == b"ustar":
        raise _refused("The file is a tar archive.", "Unpack it, and take the disk in it.")
    if head[_ISO_AT : _ISO_AT + len(_ISO)] == _ISO:
        return "iso"
    if not is_bootable(head):
        raise _refused(
            "The file is no disk image: it is neither qcow2, VMDK nor VHDX, and as a raw disk it "
            "has no boot sector.",
            CONVERT,
        )
    return "raw"


def is_bootable(head: bytes) -> bool:
    """Whether a disk that begins so has a boot sector; one with a GPT has one too."""
    return head[510:512] == _BOOTABLE


def qcow2_size(path: Path) -> int:
    """The bytes a guest sees."""
    return cast("int", _QCOW2.unpack_from(_head(path))[5])


def _refuse_references(disk: Disk, path: Path, head: bytes) -> None:
    match disk:
        case "qcow2":
            _refuse_qcow2(head)
        case "vmdk":
            _refuse_vmdk(path, head)
        case _:
            pass


def _refuse_qcow2(head: bytes) -> None:
    if len(head) < _QCOW2.size:
        raise _refused("The file ends within its header.", "Fetch or upload it again.")
    _, version, backing, _, _, _, encryption = _QCOW2.unpack_from(head)
    if version not in (2, 3):
        raise _refused(f"The file is QCOW of version {version}.", CONVERT)
    features = 0
    if version == 3:
        padded = head[_QCOW2_FEATURES_AT : _QCOW2_FEATURES_AT + 8].ljust(8, b"\0")
        features = int.from_bytes(padded, "big")
    if backing or features & _EXTERNAL_DATA:
        raise _refers()
    if encryption:
        raise _refused("The image is encrypted.", CONVERT)


def _refuse_vmdk(path: Path, head: bytes) -> None:
    """QEMU looks for a parent in the description right behind the header."""
    if len(head) < _VMDK.size:
        raise _refused("The file ends within its header.", "Fetch or upload it again.")
    _, _, _, capacity, _, description_at, _ = _VMDK.unpack_from(head)
    with path.open("rb") as file:
        file.seek(min(description_at * _SECTOR, path.stat().st_size))
        description = file.read(_HEAD)
    if not capacity or _PARENT in head or _PARENT in description:
        raise _refers()


def _refers() -> BadImage:
    return _refused(
        "The image refers to another file, which is not allowed: it could be one of the host's.",
        "Make it whole: qemu-img convert -O qcow2 OLD NEW.",
    )


def _refused(message: str, remedy: str) -> BadImage:
    return BadImage(message, code="image_format", remedy=remedy)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)
