"""Room on the host's file systems: what is refused before it would break guests.

A guest whose disk cannot grow any more is paused by QEMU, so work that can wait leaves a reserve.
"""

from __future__ import annotations

import os
from pathlib import Path

from kvmweb.core.errors import HostError

RESERVE = 1 << 30
"""Bytes that stay free for the disks of guests that run."""
_GIB = 1 << 30


class LowSpace(HostError):
    code = "low_space"


def free(folder: Path) -> int:
    """The bytes that can still be written there."""
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize


def refuse_if_full(folder: Path, needed: int, what: str) -> None:
    """Raises LowSpace, with the figures, unless `needed` bytes and the reserve are free."""
    there = free(folder)
    if there < needed + RESERVE:
        raise LowSpace(
            f"There is not enough room to {what}: up to {needed / _GIB:.1f} GiB are needed and "
            f"{RESERVE / _GIB:.0f} GiB stay free for guests, but {folder} has "
            f"{there / _GIB:.1f} GiB.",
            remedy="Delete snapshots, images or VMs that are no longer needed, or give the host "
            "more space.",
        )


def allocated(path: Path) -> int:
    """The bytes a file takes on its file system; 0 when it is gone."""
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0
