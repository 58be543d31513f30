"""Checksums as people and publishers write them."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from kvmweb.core.errors import Invalid

_LENGTHS = {64: "sha256", 128: "sha512"}
_HEX = re.compile(r"[0-9a-f]{64}(?:[0-9a-f]{64})?")
# Both forms of coreutils: "digest *name" and, as BSD has it, "SHA256 (name) = digest".
_PLAIN = re.compile(r"([0-9a-fA-F]{64}(?:[0-9a-fA-F]{64})?)(?:\s+\*?(.+))?")
_BSD = re.compile(r"SHA(?:256|512)\s*\((.+)\)\s*=\s*([0-9a-fA-F]{64}(?:[0-9a-fA-F]{64})?)")
_CHUNK = 1 << 20


def parse_checksum(text: str) -> str:
    """`sha256:…` or `sha512:…` from a digest with or without that word; empty stays empty."""
    words = text.strip().lower()
    if not words:
        return ""
    name, _, digest = words.rpartition(":")
    algorithm = _LENGTHS.get(len(digest))
    if algorithm is None or not _HEX.fullmatch(digest) or name not in ("", algorithm):
        raise Invalid(
            "This is no SHA-256 or SHA-512.",
            field="checksum",
            remedy="Write its 64 or 128 hexadecimal digits.",
        )
    return f"{algorithm}:{digest}"


def checksum_in(text: str, name: str) -> str:
    """The checksum of the file `name` in a publisher's list; empty when the list has none.

    A list of a single digest is about the file it is published with, whatever it calls it.
    """
    found = [entry for line in text.splitlines() if (entry := _entry(line.strip()))]
    for known, digest in found:
        if known.rpartition("/")[2] == name:
            return parse_checksum(digest)
    return parse_checksum(found[0][1]) if len(found) == 1 else ""


def _entry(line: str) -> tuple[str, str] | None:
    if bsd := _BSD.fullmatch(line):
        return bsd.group(1), bsd.group(2)
    if plain := _PLAIN.fullmatch(line):
        return (plain.group(2) or "").strip(), plain.group(1)
    return None


class Digest:
    """Takes bytes and says whether they have this checksum; without one, all have."""

    def __init__(self, checksum: str) -> None:
        self._wanted = checksum
        self._hash: Any = hashlib.new(checksum.partition(":")[0] or "sha256")

    def update(self, chunk: bytes) -> None:
        self._hash.update(chunk)

    @property
    def found(self) -> str:
        return f"{self._hash.name}:{self._hash.hexdigest()}"

    @property
    def is_right(self) -> bool:
        return not self._wanted or self.found == self._wanted


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
