"""Keeping how much networks and forwards carried, over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Meta

from kvmweb.hosts.models import Host
from kvmweb.metrics.rings import Rings
from kvmweb.metrics.series import FORWARD, NETWORK, Series, Values, spread
from kvmweb.metrics.window import Thing
from kvmweb.metrics.writing import writer
from networks.models import Forward, Network

LONGEST = 3600.0
"""Seconds: what was carried in a longer time than this has no place in a chart."""


class Carried(NamedTuple):
    """Since it was last told, in the order of the series."""

    bytes_in: int
    bytes_out: int
    packets_in: int
    packets_out: int
    connections: int


def keep(
    forwards: Mapping[int, Carried], networks: Mapping[int, Carried], *, seconds: float, now: float
) -> None:
    """Have kept what forwards and networks, by their keys, carried in the last `seconds`."""
    if seconds > LONGEST:
        return
    named = [
        *_named(FORWARD, Forward.objects.filter(pk__in=forwards), forwards),
        *_named(NETWORK, Network.objects.filter(pk__in=networks), networks),
    ]
    if named:
        writer().later(lambda rings: _add(rings, named, now - seconds, now))


def _named(
    series: Series, rows: object, carried: Mapping[int, Carried]
) -> list[tuple[Series, UUID, Values]]:
    pairs = rows.values_list("pk", "uuid") if carried else ()  # type: ignore[attr-defined]
    return [
        (series, uuid, tuple(map(float, carried[pk][: len(series.fields)])))
        for pk, uuid in pairs
        if any(carried[pk])
    ]


def _add(rings: Rings, named: list[tuple[Series, UUID, Values]], begin: float, end: float) -> None:
    shares = {step: list(spread(begin, end, step)) for step in (FORWARD.fine, NETWORK.fine)}
    for series, uuid, amounts in named:
        parts = {
            slot: tuple(share * (amount or 0) for amount in amounts)
            for slot, share in shares[series.fine]
        }
        rings.add(series, uuid, parts)


def thing_of(of: Network | Forward, host: Host) -> Thing:
    """What was measured of it."""
    return Thing(NETWORK if isinstance(of, Network) else FORWARD, of.uuid, host.uuid)


_Count = tuple[int, int, int]


class Told(msgspec.Struct):
    """What a host says it has counted of a network or a forward until `at` (seconds of a clock that
    only goes on), see `networks.host.drivers.counters`."""

    at: float
    counted: Annotated[list[_Count], Meta(min_length=3, max_length=3)]


def rates(series: Series, before: Told, after: Told) -> Values | None:
    """Amounts per second from one answer to the next; None when no time passed."""
    seconds = after.at - before.at
    if seconds <= 0:
        return None
    inward, outward, new = (
        added(old, now) for old, now in zip(before.counted, after.counted, strict=True)
    )
    amounts = Carried(inward[1], outward[1], inward[0], outward[0], new[0])
    return tuple(amount / seconds for amount in amounts[: len(series.fields)])


def added(before: Sequence[int], now: Sequence[int]) -> tuple[int, int]:
    """Packets and bytes since `before`: all of them where the stamp is another one. Less than
    before means that it began anew all the same."""
    stamp, packets, octets = now
    if stamp != before[0] or packets < before[1] or octets < before[2]:
        return packets, octets
    return packets - before[1], octets - before[2]
