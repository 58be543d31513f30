"""Measures this host and its guests every ten seconds, for the monitor.

It has a connection to libvirt and a thread of its own, so a libvirtd that hangs costs its guests'
figures of that time and holds up nobody. Rounds begin at multiples of ten seconds of Unix time and
each tells of the ten seconds before it; one that is missed is missed for good. What cannot be sent
waits for some minutes.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from typing import Any

from kvmweb.core.errors import KvmwebError
from kvmweb.host.load import Load, cores, load
from kvmweb.metrics.series import VM, Values
from vms.host.drivers import stats
from vms.host.drivers.domains import Domains
from vms.host.measure import Reading, sample, with_memory_of
from vms.host.observe import has_our_metadata

log = logging.getLogger(__name__)

ROUND = VM.fine
SEND_EVERY = 3 * ROUND
CALL_SECONDS = 8.0
KEPT = 30
MEMORY_EVERY = 3
"""Rounds: the memory of guests changes slowly, and asking about it is dear."""
_DIGITS = 6


def until_next(now: float, step: int = ROUND) -> float:
    """Seconds until the next round begins."""
    return step - now % step


class Meter:
    """Remembers the last reading of each guest and what was not sent yet."""

    def __init__(self, uri: str, *, call_seconds: float = CALL_SECONDS) -> None:
        self._domains = Domains(uri, call_seconds=call_seconds)
        self._ours: set[str] = set()
        self._guests: dict[str, Reading] = {}
        self._load: Load | None = None
        self._rounds: deque[dict[str, Any]] = deque(maxlen=KEPT)

    def look(self, slot: int) -> None:
        """One round, about this slot of time."""
        guests = self._read(memory=slot % MEMORY_EVERY == 0)
        samples = _samples(self._guests, guests or {})
        running = None if guests is None else len(guests)
        self._rounds.append(
            {
                "slot": slot,
                "host": _short((*self._of_host(), running)),
                "vms": {uuid: _short(values) for uuid, values in samples.items()},
            }
        )
        self._guests = guests or {}

    def is_due(self, slot: int) -> bool:
        """Whether what waits is to be sent after this round."""
        return slot * ROUND % SEND_EVERY == 0

    def waiting(self) -> dict[str, Any]:
        """The payload with all rounds that were not sent."""
        return {"rounds": list(self._rounds)}

    def sent(self) -> None:
        """What was waiting has gone."""
        self._rounds.clear()

    def _read(self, *, memory: bool) -> dict[str, Reading] | None:
        """None while libvirt does not answer. What is not asked about memory is what it was."""
        try:
            found = stats.of_all(self._domains, self._is_ours, memory=memory)
        except KvmwebError as error:
            log.warning("guests_not_measured reason=%s", error.message)
            return None
        return {uuid: with_memory_of(self._guests.get(uuid), one) for uuid, one in found.items()}

    def _of_host(self) -> tuple[float | None, float | None]:
        before, self._load = self._load, None
        try:
            self._load = now = load()
        except (OSError, ValueError, KeyError) as error:
            log.warning("host_not_measured reason=%r", error)
            return None, None
        return cores(before, now) if before else None, now.memory

    def _is_ours(self, domain: Any) -> bool:
        """Asked of libvirt until it says yes: no may mean that it could not tell just now."""
        uuid = domain.UUIDString()
        if uuid not in self._ours and has_our_metadata(domain):
            self._ours.add(uuid)
        return uuid in self._ours


def _samples(before: Mapping[str, Reading], after: Mapping[str, Reading]) -> dict[str, Values]:
    """Of the guests that were there at both ends."""
    found = {
        uuid: sample(before[uuid], reading) for uuid, reading in after.items() if uuid in before
    }
    return {uuid: values for uuid, values in found.items() if values is not None}


def _short(values: Values) -> list[float | None]:
    return [None if value is None else round(value, _DIGITS) for value in values]


def slot_before(now: float) -> int:
    """The slot that ended with the round that begins now."""
    return round(now / ROUND) - 1
