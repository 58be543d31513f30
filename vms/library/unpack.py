"""Unpacking gzip, xz and bzip2 in a stream, to no more than a limit whatever the file claims."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Iterator
from typing import IO

from vms.library.failures import BadImage, too_large
from vms.library.formats import Packing

_CHUNK = 1 << 20
# What xz -9 asks for is 65 MiB.
_XZ_MEMORY = 128 << 20
_GZIP = 16 + zlib.MAX_WBITS


class _Gzip:
    """zlib's decompressor with the face of the other two."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(_GZIP)
        self._kept = b""

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._kept

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        made = self._inner.decompress(self._kept + data, max_length)
        self._kept = self._inner.unconsumed_tail
        return made


Decompressor = _Gzip | lzma.LZMADecompressor | bz2.BZ2Decompressor


def unpacked(source: IO[bytes], packing: Packing, most: int) -> Iterator[bytes]:
    """The content in pieces of a MiB at most. Raises BadImage, past `most` bytes too."""
    total = 0
    try:
        for piece in _pieces(source, packing):
            total += len(piece)
            if total > most:
                raise too_large(most)
            yield piece
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise BadImage(
            f"The file begins like {packing} but cannot be unpacked: {error}.",
            code="image_format",
            remedy="Fetch or upload it again.",
        ) from error


def _pieces(source: IO[bytes], packing: Packing) -> Iterator[bytes]:
    """Streams may follow each other in one file, as gzip and xz allow."""
    data = source.read(_CHUNK)
    while data:
        worker = _new(packing)
        while not worker.eof:
            if worker.needs_input and not data:
                data = source.read(_CHUNK)
                if not data:
                    raise EOFError("it ends too early")
            piece = worker.decompress(data, _CHUNK)
            data = b""
            yield piece
        # What follows a stream may be padding with zeros (RFC 1952 says nothing of it, gzip does).
        data = worker.unused_data.lstrip(b"\0") or source.read(_CHUNK).lstrip(b"\0")


def _new(packing: Packing) -> Decompressor:
    match packing:
        case "gzip":
            return _Gzip()
        case "xz":
            return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
        case "bzip2":
            return bz2.BZ2Decompressor()
