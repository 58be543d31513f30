"""Word that a VM's newest wish should not wait for what is under way, such as a slow shutdown.

The panel's doorbell reaches the monitor, which notes here which generation was asked for; the
worker that waits for a guest looks. Losing a note only makes people wait as long as before.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from kvmweb.host.config import HostPaths
from kvmweb.host.files import write_durably
from kvmweb.host.store import subject_name


def note(paths: HostPaths, subject: str, generation: int) -> None:
    """Raises Invalid for no UUID."""
    file = _file(paths, subject)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_durably(file, str(generation).encode())


def is_overtaken(paths: HostPaths, subject: str, generation: int) -> bool:
    """Whether something newer than `generation` waits for this VM."""
    return _noted(_file(paths, subject)) > generation


def forget(paths: HostPaths, subject: str, generation: int) -> None:
    """Drop the note once `generation`, or a newer one, is being applied."""
    file = _file(paths, subject)
    if _noted(file) <= generation:
        file.unlink(missing_ok=True)


def _file(paths: HostPaths, subject: str) -> Path:
    return paths.run / "hurry" / subject_name(subject)


def _noted(file: Path) -> int:
    with suppress(FileNotFoundError, ValueError):
        return int(file.read_text())
    return 0
