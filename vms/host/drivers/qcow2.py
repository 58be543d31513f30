"""The header of a qcow2 file, docs/interop/qcow2.txt of QEMU."""

from __future__ import annotations

import struct
from pathlib import Path

_HEADER = struct.Struct(">4sIQIIQ")
_MAGIC = b"QFI\xfb"


class NotQcow2(ValueError):
    """The file has another format."""


def virtual_size(path: Path) -> int:
    """The bytes a guest sees. Raises NotQcow2."""
    with path.open("rb") as file:
        header = file.read(_HEADER.size)
    if len(header) < _HEADER.size or header[:4] != _MAGIC:
        raise NotQcow2(path)
    size: int = _HEADER.unpack(header)[5]
    return size


def backing_file(path: Path) -> str:
    """The file it is an overlay of, as its header names it; empty without. Raises NotQcow2."""
    with path.open("rb") as file:
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size or header[:4] != _MAGIC:
            raise NotQcow2(path)
        offset, length = _HEADER.unpack(header)[2:4]
        file.seek(offset)
        return file.read(length).decode(errors="replace") if offset else ""
