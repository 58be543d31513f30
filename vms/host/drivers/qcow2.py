"""The header and snapshot table of a qcow2 file, docs/interop/qcow2.txt of QEMU.

Both can be read while a guest writes to the file: QEMU writes a new table elsewhere and then
points the header at it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_HEADER = struct.Struct(">4sIQIIQ")
_SNAPSHOTS_AT = 60
_SNAPSHOTS = struct.Struct(">IQ")
_ENTRY = struct.Struct(">QIHHIIQII")
_EXTRA = struct.Struct(">QQ")
_MAGIC = b"QFI\xfb"
_MOST_SNAPSHOTS = 65536


class NotQcow2(ValueError):
    """The file has another format."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An internal snapshot; `size` is how many bytes the guest saw then."""

    name: str
    size: int


def virtual_size(path: Path) -> int:
    """The bytes a guest sees. Raises NotQcow2."""
    with path.open("rb") as file:
        size: int = _read_header(file, path)[5]
    return size


def backing_file(path: Path) -> str:
    """The file it is an overlay of, as its header names it; empty without. Raises NotQcow2."""
    with path.open("rb") as file:
        offset, length = _read_header(file, path)[2:4]
        file.seek(offset)
        return file.read(length).decode(errors="replace") if offset else ""


def snapshots(path: Path) -> tuple[Snapshot, ...]:
    """Its internal snapshots, oldest first. Raises NotQcow2."""
    with path.open("rb") as file:
        size: int = _read_header(file, path)[5]
        file.seek(_SNAPSHOTS_AT)
        count, offset = _SNAPSHOTS.unpack(_exactly(file, _SNAPSHOTS.size, path))
        if count > _MOST_SNAPSHOTS:
            raise NotQcow2(path)
        file.seek(offset)
        return tuple(_entries(file, count, size, path))


def _entries(file: IO[bytes], count: int, size: int, path: Path) -> Iterator[Snapshot]:
    for _ in range(count):
        fields = _ENTRY.unpack(_exactly(file, _ENTRY.size, path))
        id_size, name_size, extra_size = fields[2], fields[3], fields[8]
        extra = _exactly(file, extra_size, path)
        _exactly(file, id_size, path)
        name = _exactly(file, name_size, path).decode(errors="replace")
        seen = _EXTRA.unpack(extra[: _EXTRA.size])[1] if extra_size >= _EXTRA.size else size
        file.seek(-(_ENTRY.size + extra_size + id_size + name_size) % 8, os.SEEK_CUR)
        yield Snapshot(name, seen)


def _read_header(file: IO[bytes], path: Path) -> tuple[bytes, int, int, int, int, int]:
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size or header[:4] != _MAGIC:
        raise NotQcow2(path)
    return _HEADER.unpack(header)


def _exactly(file: IO[bytes], size: int, path: Path) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise NotQcow2(path)
    return content
