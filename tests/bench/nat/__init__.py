"""Group `nat`: what the data plane does and costs, beside what others do."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.measure import Figure
from tests.bench.nat import forwards, networks, packets, rest, upkeep


def figures() -> Iterator[Figure]:
    """Part after part, each in hosts of its own."""
    for part in (forwards, packets, networks, upkeep, rest):
        yield from part.figures()
