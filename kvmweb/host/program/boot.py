"""Whether this host was put back since the machine started."""

from __future__ import annotations

from pathlib import Path

from kvmweb.host.config import HostPaths
from kvmweb.host.files import write_durably

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def is_restored(paths: HostPaths) -> bool:
    """False after a start of the machine until `remember_restored`."""
    try:
        return _mark(paths).read_bytes() == _BOOT_ID.read_bytes()
    except FileNotFoundError:
        return False


def remember_restored(paths: HostPaths) -> None:
    """Everything that should run, runs; from now on a guest that is off was switched off."""
    write_durably(_mark(paths), _BOOT_ID.read_bytes())


def _mark(paths: HostPaths) -> Path:
    return paths.state / "restored_boot"
