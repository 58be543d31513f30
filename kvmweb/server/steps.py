"""A job's steps on a terminal: a tick, the sentence, how long it took, how far it is."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

_SIGNS = {"done": "✓", "failed": "✗"}
_PLAIN = {"✓": "ok", "✗": "failed"}


class Steps:
    """Prints each step once it ended. On a terminal the running one shows its percent in place."""

    def __init__(self, screen: TextIO = sys.stdout) -> None:
        self._screen = screen
        self._live = screen.isatty()
        self._ended: set[str] = set()
        self._open = ""
        self._unicode = (screen.encoding or "").lower().startswith("utf")

    def show(self, steps: Iterable[Mapping[str, Any]]) -> None:
        """Show what is new in `steps`, given as the API gives them."""
        running = None
        for step in steps:
            if step["state"] == "running":
                running = step
            elif step["key"] not in self._ended:
                self._ended.add(step["key"])
                self._end(step)
        if running is not None:
            self._progress(running)

    def done(self, sentence: str, seconds: float) -> None:
        """A step of our own that ended well."""
        self._end({"state": "done", "sentence": sentence, "duration_ms": seconds * 1000})

    def _end(self, step: Mapping[str, Any]) -> None:
        self._clear()
        duration = step.get("duration_ms")
        took = f"  {duration / 1000:.1f} s" if duration else ""
        self._write(f"  {self._sign(step['state'])} {step['sentence']}{took}\n")

    def _progress(self, step: Mapping[str, Any]) -> None:
        percent = step.get("percent")
        text = step["sentence"] + (f"  {percent} %" if percent is not None else " …")
        if self._live and text != self._open:
            self._clear()
            self._write(f"    {text}")
            self._open = text

    def _clear(self) -> None:
        if self._open:
            self._write("\r\x1b[K")
            self._open = ""

    def _sign(self, state: str) -> str:
        sign = _SIGNS[state]
        return sign if self._unicode else _PLAIN[sign]

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._screen.write(text)
            self._screen.flush()
