"""Room on the host's file systems: what is refused before it would break guests. Pure.

A guest whose disk cannot grow any more is paused by QEMU, so work that can wait leaves a reserve.
"""

from __future__ import annotations

from pathlib import Path

from kvmweb.core.errors import HostError

RESERVE = 1 << 30
"""Bytes that stay free for the disks of guests that run."""
_GIB = 1 << 30


class LowSpace(HostError):
    code = "low_space"


def refuse_low_space(free: int, needed: int, what: str, folder: Path) -> None:
    """Raises LowSpace, with the figures, unless `needed` bytes and the reserve are free."""
    if free < needed + RESERVE:
        raise LowSpace(
            f"There is not enough room to {what}: up to {needed / _GIB:.1f} GiB are needed and "
            f"{RESERVE / _GIB:.0f} GiB stay free for guests, but {folder} has "
            f"{free / _GIB:.1f} GiB.",
            remedy="Delete snapshots, images or VMs that are no longer needed, or give the host "
            "more space.",
        )
