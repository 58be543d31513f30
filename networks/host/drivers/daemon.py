"""A program that runs in the background, outlives its worker and is adopted by the next one."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Sequence
from pathlib import Path

_SECONDS = 10


class Daemon:
    """Known by its file with its process number; `mark` is an argument nobody else has."""

    def __init__(self, pid_file: Path, mark: str) -> None:
        self._pid_file = pid_file
        self._mark = mark

    def pid(self) -> int | None:
        """Its process if it runs, with whatever other arguments."""
        try:
            pid = int(self._pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return pid if self._mark in command_line(pid) else None

    def runs(self, arguments: Sequence[str]) -> bool:
        """Whether it runs with exactly these arguments."""
        pid = self.pid()
        return pid is not None and command_line(pid) == list(arguments)

    def stop(self) -> None:
        """End it and wait for its end; none running is success."""
        if (pid := self.pid()) is not None:
            end(pid)


def end(pid: int) -> None:
    """End a process and wait for its end; one that is gone is success."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        if not select.select([handle], [], [], _SECONDS)[0]:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            select.select([handle], [], [], _SECONDS)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def command_line(pid: int) -> list[str]:
    """What a process was started with; nothing of one that is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
    except (OSError, UnicodeDecodeError):
        return []
