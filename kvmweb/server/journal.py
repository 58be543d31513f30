"""What the person in front sees, and the log file beside it.

Sentences of our own are always shown. Lines of the processes are prefixed with their name; while
`quiet` they go to the file alone, warnings and worse excepted.
"""

from __future__ import annotations

import contextlib
import re
import sys
from datetime import datetime
from pathlib import Path
from typing import TextIO

# The stamps that Celery, Django, the host program and Redis put before their lines.
_STAMP = re.compile(
    r"^(?:\[?\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.,]\d+(?:: )?\]?|\d+:[A-Z] \d+ \w+ \d{4} [\d:.]+)\s*"
)
_URGENT = re.compile(r"\b(?:WARNING|ERROR|CRITICAL|Traceback)\b")
# Redis calls its advice on the machine's settings a warning, at every start.
_ADVISORS = ("redis",)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_COLOURS = (36, 35, 34, 33, 32, 96)
_LARGEST_FILE = 8 * 1024 * 1024


class Journal:
    """Writes to `screen` and to `file`, one line per event."""

    def __init__(self, file: Path, screen: TextIO = sys.stdout) -> None:
        self.quiet = True
        self._screen = screen
        self._colours = screen.isatty()
        self._names: dict[str, int] = {}
        self._path = file
        self._file = file.open("a", encoding="utf-8")
        file.chmod(0o600)

    def say(self, sentence: str = "") -> None:
        """A sentence for the person in front."""
        self._show(sentence)
        if sentence:
            self._keep("server", sentence)

    def line(self, name: str, text: str) -> None:
        """One line that the process `name` wrote."""
        text = _CONTROL.sub("", _STAMP.sub("", text.rstrip())).removeprefix(f"{name} ")
        if not text:
            return
        self._keep(name, text)
        if not self.quiet or (_URGENT.search(text) and name not in _ADVISORS):
            self._show(f"{_clock()} {self._tag(name)} {text}")

    def close(self) -> None:
        self._file.close()

    def _tag(self, name: str) -> str:
        padded = f"{name:<8}"
        if not self._colours:
            return padded
        colour = self._names.setdefault(name, _COLOURS[len(self._names) % len(_COLOURS)])
        return f"\x1b[{colour}m{padded}\x1b[0m"

    def _show(self, text: str) -> None:
        """A terminal that went away must not take the panel with it."""
        with contextlib.suppress(OSError, ValueError):
            print(text, file=self._screen, flush=True)

    def _keep(self, name: str, text: str) -> None:
        with contextlib.suppress(OSError):
            if self._file.tell() > _LARGEST_FILE:
                self._turn_over()
            self._file.write(f"{_clock('%Y-%m-%d %H:%M:%S')} {name:<8} {text}\n")
            self._file.flush()

    def _turn_over(self) -> None:
        """One older file is kept; the log never takes more than twice the limit."""
        self._file.close()
        self._path.replace(self._path.with_suffix(".log.1"))
        self._file = self._path.open("a", encoding="utf-8")
        self._path.chmod(0o600)


def _clock(form: str = "%H:%M:%S") -> str:
    return datetime.now().astimezone().strftime(form)
