"""A subnet drawn as a field of small squares: what is used, reserved, the host's own, and free."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

COLUMNS = 64
MOST_CELLS = 256
PITCH = 14
SIDE = 12
# Of two kinds in one square the one that comes first here is shown.
KINDS = ("used", "reserved", "own", "free")


@dataclass(frozen=True, slots=True)
class Taken:
    """An address that somebody has."""

    address: str
    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One square, standing for one address or, in a large subnet, for a run of them."""

    x: int
    y: int
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class SubnetMap:
    cells: tuple[Cell, ...]
    used: int
    reserved: int
    free: int
    per_cell: int

    @property
    def width(self) -> int:
        return min(len(self.cells), COLUMNS) * PITCH

    @property
    def height(self) -> int:
        return -(-len(self.cells) // COLUMNS) * PITCH

    @property
    def total(self) -> int:
        return self.used + self.reserved + self.free


def draw(subnet: IPv4Network, taken: Iterable[Taken]) -> SubnetMap:
    """The map of `subnet`; the network's, the gateway's and the broadcast address are its own."""
    rows = list(taken)
    per_cell = max(1, subnet.num_addresses // MOST_CELLS)
    marks: dict[int, list[tuple[str, str]]] = {}
    for row in [*_own(subnet), *rows]:
        offset = int(IPv4Address(row.address)) - int(subnet.network_address)
        marks.setdefault(offset // per_cell, []).append((row.kind, f"{row.address} {row.name}"))
    count = subnet.num_addresses // per_cell
    cells = tuple(_cell(subnet, index, per_cell, marks.get(index, [])) for index in range(count))
    used = sum(row.kind == "used" for row in rows)
    free = subnet.num_addresses - 3 - len(rows)
    return SubnetMap(cells, used, len(rows) - used, free, per_cell)


def _own(subnet: IPv4Network) -> list[Taken]:
    first = subnet.network_address
    return [
        Taken(str(first), "own", "the network itself"),
        Taken(str(first + 1), "own", "the host, the guests' gateway"),
        Taken(str(subnet.broadcast_address), "own", "broadcast"),
    ]


def _cell(subnet: IPv4Network, index: int, per_cell: int, marks: list[tuple[str, str]]) -> Cell:
    kind = min((kind for kind, _ in marks), key=KINDS.index, default="free")
    first = subnet.network_address + index * per_cell
    title = ", ".join(words for _, words in marks) or f"{first} free"
    return Cell(index % COLUMNS * PITCH, index // COLUMNS * PITCH, kind, title)
