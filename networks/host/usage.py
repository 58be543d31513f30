"""What forwards, networks and host names have carried, as this host's kernel and its proxy counted
it; for the monitor.

The kernel's numbers are absolute and begin anew with an element or a bridge that is made anew. So
each is told with a stamp of what holds it, and the panel adds up the differences: neither a lost
message nor one that comes twice makes a difference (see `networks.usage`). Only what has moved
since it was last told is told again, with the seconds since the last reading of which all was
told: in these it moved. Reading 50,000 forwards takes 0.7 s of a processor, so the
more there are the more seldom they are read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from networks.host.drivers import counters
from networks.host.drivers.counters import Counted
from networks.host.drivers.haproxy import HaProxy
from networks.host.drivers.netlink import Interrupted

K = TypeVar("K", int, str)

ROUND = 10.0
_SHARE = 50
_LARGEST = 2000
_ATTEMPTS = 3


class Usage:
    """Remembers what was told. For one thread at a time, in the namespace of the host."""

    def __init__(self, proxy: HaProxy | None = None) -> None:
        self._proxy = proxy
        self._names_told: dict[int, Counted] = {}
        self._told: dict[int | str, Counted] = {}
        self._due = 0.0
        self._read_at: float | None = None

    def news(self) -> Iterator[dict[str, Any]]:
        """Payloads with what has moved; each counts as told when the next is asked for. None
        while reading would take more than a fiftieth of the time."""
        began = time.monotonic()
        if began < self._due:
            return
        forwards, bridges = _read()
        since = {"seconds": None if self._read_at is None else began - self._read_at}
        self._due = began + _SHARE * (time.monotonic() - began)
        gone = self._told.keys() - forwards.keys() - bridges.keys()
        for key in gone:
            del self._told[key]
        moved = _moved(forwards, self._told) | _moved(bridges, self._told)
        keys = list(moved)
        for first in range(0, len(keys), _LARGEST):
            part = {key: moved[key] for key in keys[first : first + _LARGEST]}
            yield _payload(part) | since
            self._told |= part
        for payload in self._news_of_names():
            yield payload | since
        self._read_at = began

    def _news_of_names(self) -> Iterator[dict[str, Any]]:
        """What the proxy has counted. A name that is gone stays in its table for some days."""
        counted = {} if self._proxy is None else self._proxy.counted()
        moved = {key: each for key, each in counted.items() if self._names_told.get(key) != each}
        keys = list(moved)
        for first in range(0, len(keys), _LARGEST):
            part = {key: moved[key] for key in keys[first : first + _LARGEST]}
            yield {"forwards": [], "networks": [], "host_names": _listed(part)}
            self._names_told |= part
        self._names_told = {key: each for key, each in self._names_told.items() if key in counted}


def _read() -> tuple[dict[int, Counted], dict[str, Counted]]:
    for _ in range(_ATTEMPTS):
        try:
            return counters.forwards(), counters.bridges()
        except Interrupted:
            continue
    return {}, {}


def _moved(now: Mapping[K, Counted], told: Mapping[int | str, Counted]) -> dict[int | str, Counted]:
    return {key: counted for key, counted in now.items() if told.get(key) != counted}


def _listed(part: Mapping[Any, Counted]) -> list[list[Any]]:
    return [[key, *each.inward, *each.outward, *each.new] for key, each in part.items()]


def _payload(part: Mapping[int | str, Counted]) -> dict[str, Any]:
    """Each entry is the key and stamp, packets and bytes of in, out and new one after another."""
    listed = _listed(part)
    return {
        "forwards": [entry for entry in listed if isinstance(entry[0], int)],
        "networks": [entry for entry in listed if isinstance(entry[0], str)],
    }
