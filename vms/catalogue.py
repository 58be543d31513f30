"""The shipped list of well-known cloud images, at their publishers or at a mirror."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from django.conf import settings

from kvmweb.core.errors import Invalid

_FILE = Path(__file__).with_name("catalogue.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A cloud image as its publisher offers it."""

    id: str
    name: str
    os: str
    url: str
    checksum_url: str
    default_user: str
    min_memory_mib: int
    min_disk_gib: int

    @property
    def publisher(self) -> str:
        """The site it comes from."""
        return urlsplit(self.url).netloc


def catalogue() -> list[Listed]:
    """All of it. With a mirror, `https://site/path` is at `MIRROR/site/path`."""
    mirror = settings.KVMWEB_IMAGE_MIRROR.rstrip("/")
    return [_mirrored(entry, mirror) for entry in _shipped()]


def listed(name: str) -> Listed:
    """The entry of this id. Raises Invalid."""
    for entry in catalogue():
        if entry.id == name:
            return entry
    raise Invalid("The catalogue has no such image.", field="catalogue")


@cache
def _shipped() -> tuple[Listed, ...]:
    entries = msgspec.toml.decode(_FILE.read_bytes(), type=dict[str, tuple[Listed, ...]])
    return entries["image"]


def _mirrored(entry: Listed, mirror: str) -> Listed:
    if not mirror:
        return entry
    return replace(
        entry,
        url=_at(mirror, entry.url),
        checksum_url=_at(mirror, entry.checksum_url),
    )


def _at(mirror: str, url: str) -> str:
    return f"{mirror}/{url.partition('://')[2]}"
