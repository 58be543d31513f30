"""What is measured, of which kind of thing and how finely. Shared by hosts and panel, so it knows
neither Django nor a host.

Time is cut into slots: slot n of a step of s seconds lasts from n * s to (n + 1) * s of Unix time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

DAY = 86_400
FINE_SPAN, COARSE_SPAN = DAY, 90 * DAY

Values: TypeAlias = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """One figure. `unit` is cores, bytes, bytes/s, a number (empty) or one per second (/s)."""

    name: str
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The figures of one kind of thing. Steps are in seconds, the coarse one a multiple of the
    fine one. Those with `totals` keep amounts per slot, all others keep means."""

    kind: str
    fields: tuple[Field, ...]
    fine: int = 10
    coarse: int = 600
    totals: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields)

    @property
    def nothing(self) -> Values:
        return (None,) * len(self.fields)


VM = Series(
    kind="vm",
    fields=(
        Field("cpu", "cores"),
        Field("memory", "bytes"),
        Field("memory_used", "bytes"),
        Field("memory_host", "bytes"),
        Field("disk_read", "bytes/s"),
        Field("disk_written", "bytes/s"),
        Field("disk_reads", "/s"),
        Field("disk_writes", "/s"),
        Field("received", "bytes/s"),
        Field("sent", "bytes/s"),
        Field("packets_received", "/s"),
        Field("packets_sent", "/s"),
        Field("packets_dropped", "/s"),
    ),
)
HOST = Series(
    kind="host",
    fields=(Field("cpu", "cores"), Field("memory_used", "bytes"), Field("guests", "")),
)
_CARRIED = (
    Field("bytes_in", "bytes/s"),
    Field("bytes_out", "bytes/s"),
    Field("packets_in", "/s"),
    Field("packets_out", "/s"),
)
NETWORK = Series(kind="network", fields=_CARRIED, totals=True)
# There may be ten thousands of them, so each is kept at a sixth of the size.
FORWARD = Series(
    kind="forward",
    fields=(*_CARRIED, Field("connections", "/s")),
    fine=60,
    coarse=1800,
    totals=True,
)


def mean(values: Sequence[Values]) -> Values:
    """Of each figure over the slots that have it; None where none has."""
    return tuple(_mean(column) for column in _columns(values))


def total(values: Sequence[Values]) -> Values:
    """Of each figure over the slots that have it; None where none has."""
    return tuple(sum(column) if column else None for column in _columns(values))


def _columns(values: Sequence[Values]) -> Iterator[list[float]]:
    for column in zip(*values, strict=True):
        yield [one for one in column if one is not None]


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def spread(begin: float, end: float, step: int) -> Iterator[tuple[int, float]]:
    """The slots between two times, each with its share of what happened in between, as if it had
    happened evenly. The shares add up to one."""
    if end <= begin:
        yield int(end // step), 1.0
        return
    first, last = int(begin // step), int(end // step)
    for slot in range(first, last + 1):
        inside = min(end, (slot + 1) * step) - max(begin, slot * step)
        if inside > 0:
            yield slot, inside / (end - begin)
