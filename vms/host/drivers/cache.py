"""Keeping the cache of images small: what no VM stands on goes, the longest unused first.

An image is in use as long as a disk on this host has it for its backing file, or a stored spec is
about to make one. Those stay, however large they are together.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vms.host.drivers.qcow2 import NotQcow2, backing_file

log = logging.getLogger(__name__)

_SUFFIX = ".qcow2"


@dataclass(frozen=True, slots=True)
class Kept:
    """An image in the cache; `used_at` is when a disk was last made of it, in ns."""

    name: str
    size: int
    used_at: int


def to_evict(kept: Iterable[Kept], in_use: frozenset[str], limit: int) -> tuple[str, ...]:
    """The images to drop so that those nobody uses take at most `limit` bytes. Pure."""
    idle = sorted((image for image in kept if image.name not in in_use), key=_age)
    total = sum(image.size for image in idle)
    dropped = []
    for image in idle:
        if total <= limit:
            break
        dropped.append(image.name)
        total -= image.size
    return tuple(dropped)


def evict(images: Path, disks: Path, *, wanted: Iterable[str], limit: int) -> tuple[str, ...]:
    """Drop what is too much; returns the names of the files dropped.

    `wanted` are the SHA-256 of images that stored specs name.
    """
    kept = list(_kept(images))
    in_use = {f"{sha256}{_SUFFIX}" for sha256 in wanted} | set(_backing(disks))
    dropped = to_evict(kept, frozenset(in_use), limit)
    for name in dropped:
        (images / name).unlink(missing_ok=True)
        log.info("image_evicted file=%s", name)
    return dropped


def touch(image: Path) -> None:
    """Note that the image is used now."""
    with suppress(FileNotFoundError):
        os.utime(image)


def _kept(images: Path) -> Iterator[Kept]:
    for path in images.glob(f"*{_SUFFIX}"):
        with suppress(FileNotFoundError):
            stat = path.stat()
            yield Kept(path.name, stat.st_blocks * 512, stat.st_mtime_ns)


def _backing(disks: Path) -> Iterator[str]:
    for path in disks.glob(f"*/*{_SUFFIX}"):
        with suppress(FileNotFoundError, NotQcow2):
            yield Path(backing_file(path)).name


def _age(image: Kept) -> tuple[int, str]:
    return image.used_at, image.name
