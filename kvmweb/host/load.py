"""How busy this machine is: /proc/stat and /proc/meminfo, see proc(5)."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_IDLE, _IO_WAIT = 3, 4
_COUNTED = 8  # what guests used is counted in user and nice as well


@dataclass(frozen=True, slots=True)
class Load:
    """`busy` is the time all processors worked since the machine started, in seconds; `at` of the
    clock that only goes on; `memory` what cannot be given to others, in bytes."""

    at: float
    busy: float
    memory: int


def load(proc: Path = Path("/proc")) -> Load:
    """Now."""
    ticks = [int(word) for word in (proc / "stat").read_text().split("\n", 1)[0].split()[1:]]
    busy = sum(ticks[:_COUNTED]) - ticks[_IDLE] - ticks[_IO_WAIT]
    sizes = dict(line.split(":") for line in (proc / "meminfo").read_text().splitlines())
    total, free = (int(sizes[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    return Load(time.monotonic(), busy / os.sysconf("SC_CLK_TCK"), (total - free) * 1024)


def cores(before: Load, after: Load) -> float | None:
    """How many processors worked on average between two looks."""
    seconds = after.at - before.at
    return max(0.0, after.busy - before.busy) / seconds if seconds > 0 else None
