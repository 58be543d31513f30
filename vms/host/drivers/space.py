"""What file systems and files hold."""

from __future__ import annotations

import os
from pathlib import Path

from vms.host.room import refuse_low_space


def free(folder: Path) -> int:
    """The bytes that can still be written where `folder` is, or will be."""
    while not folder.exists():
        folder = folder.parent
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize


def refuse_if_full(folder: Path, needed: int, what: str) -> None:
    """Raises LowSpace unless `needed` bytes and a reserve are free."""
    refuse_low_space(free(folder), needed, what, folder)


def allocated(path: Path) -> int:
    """The bytes a file takes on its file system; 0 when it is gone."""
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0
