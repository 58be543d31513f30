"""Processes of an earlier start that outlived it, known by their id and their time of birth.

A process id alone may belong to somebody else by now; together with the time of birth it cannot.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from kvmweb.host.files import write_durably

_STARTTIME = 19  # field 22 of /proc/PID/stat, counted after the command's closing bracket (proc(5))


class Remnants:
    """The list of running processes, kept in `file`."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def note(self, pids: Iterable[int]) -> None:
        """Replace the list."""
        born = {str(pid): birth for pid in pids if (birth := _birth(pid)) is not None}
        write_durably(self._file, json.dumps(born).encode())

    def alive(self) -> list[int]:
        """Those of the list that still run."""
        try:
            listed = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return []
        return [int(pid) for pid, birth in listed.items() if _birth(int(pid)) == birth]

    def end(self, *, patience: float = 10.0) -> bool:
        """Ask those that still run to end, insist after `patience` seconds; whether all did."""
        for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
            for pid in self.alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            limit = time.monotonic() + seconds
            while self.alive() and time.monotonic() < limit:
                time.sleep(0.05)
        return not self.alive()


def _birth(pid: int) -> int | None:
    """When it was started, in clock ticks since boot; None for none and for one that is dead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[_STARTTIME])
