"""The picture of the overview: the internet, public addresses, networks, VMs, and the ways in.

Rows come in as plain values and leave as boxes and lines with their places; the template only
writes them down. Lengths are SVG user units.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kvmweb.core.choices import State

WIDTH = 1080
CLOUD_X, CLOUD_WIDTH = 8, 120
ADDRESS_X, ADDRESS_WIDTH, ADDRESS_HEIGHT = 212, 168, 52
NETWORK_X, NETWORK_WIDTH = 500, 572
HEAD, PAD, GAP = 58, 14, 22
LABEL_WIDTH, LABEL_HEIGHT = 138, 24
VM_X, VM_WIDTH, VM_HEIGHT = NETWORK_X + 222, NETWORK_WIDTH - 222 - PAD, 44
MOST_VMS, MOST_DOORS = 8, 5


@dataclass(frozen=True, slots=True)
class DoorRow:
    url: str
    endpoint: str
    public_port: int
    target_port: int
    protocol: str
    public_address: str
    state: State


@dataclass(frozen=True, slots=True)
class VmRow:
    url: str
    name: str
    address: str
    state: State
    doors: Sequence[DoorRow] = ()


@dataclass(frozen=True, slots=True)
class NetworkRow:
    url: str
    name: str
    subnet: str
    way: str
    host: str
    sources: Sequence[str]
    state: State
    vms: Sequence[VmRow] = ()


@dataclass(slots=True)
class Box:
    """A rectangle and what is in it."""

    x: int
    y: int
    width: int
    height: int
    row: object = None
    more: int = 0
    mid: int = field(init=False)
    right: int = field(init=False)

    def __post_init__(self) -> None:
        self.mid = self.y + self.height // 2
        self.right = self.x + self.width


@dataclass(frozen=True, slots=True)
class Line:
    """A curve from one place to another; `kind` is what goes along it."""

    path: str
    kind: str
    tone: str = ""


@dataclass(slots=True)
class Picture:
    height: int = 0
    cloud: Box | None = None
    addresses: list[Box] = field(default_factory=list)
    networks: list[Box] = field(default_factory=list)
    vms: list[Box] = field(default_factory=list)
    doors: list[Box] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    rows: Sequence[NetworkRow] = ()
    width: int = WIDTH


def draw(networks: Sequence[NetworkRow], addresses: Iterable[str]) -> Picture:
    """The picture of these networks, reached by these public addresses."""
    picture = Picture(rows=networks)
    bottom = 8
    for network in networks:
        bottom = _network(picture, network, bottom) + GAP
    picture.height = max(bottom - GAP + 8, 120)
    _addresses(picture, sorted(set(addresses)))
    _connect(picture)
    return picture


def _network(picture: Picture, network: NetworkRow, top: int) -> int:
    """Place one network and all in it from `top` on; the answer is its lower edge."""
    y = top + HEAD
    shown = network.vms[:MOST_VMS]
    for vm in shown:
        y = _vm(picture, vm, y) + 10
    if not shown:
        y += 34
    more = len(network.vms) - len(shown)
    bottom = y - 10 + PAD + (24 if more else 0)
    box = Box(NETWORK_X, top, NETWORK_WIDTH, bottom - top, network, more)
    picture.networks.append(box)
    return bottom


def _vm(picture: Picture, vm: VmRow, top: int) -> int:
    doors = vm.doors[:MOST_DOORS]
    height = max(VM_HEIGHT, len(doors) * (LABEL_HEIGHT + 6))
    picture.vms.append(Box(VM_X, top + (height - VM_HEIGHT) // 2, VM_WIDTH, VM_HEIGHT, vm))
    first = top + (height - len(doors) * (LABEL_HEIGHT + 6) + 6) // 2
    middle = top + height // 2
    for index, door in enumerate(doors):
        y = first + index * (LABEL_HEIGHT + 6)
        label = Box(NETWORK_X + PAD, y, LABEL_WIDTH, LABEL_HEIGHT, door)
        picture.doors.append(label)
        path = _curve(label.right, label.mid, VM_X - 2, middle)
        picture.lines.append(Line(path, "in", door.state.tone))
    return top + height


def _addresses(picture: Picture, addresses: Sequence[str]) -> None:
    pitch = ADDRESS_HEIGHT + 24
    first = max(8, (picture.height - len(addresses) * pitch + 24) // 2)
    for index, address in enumerate(addresses):
        y = first + index * pitch
        picture.addresses.append(Box(ADDRESS_X, y, ADDRESS_WIDTH, ADDRESS_HEIGHT, address))
    picture.height = max(picture.height, first + len(addresses) * pitch)
    picture.cloud = Box(CLOUD_X, picture.height // 2 - 36, CLOUD_WIDTH, 72)


def _connect(picture: Picture) -> None:
    """Lines from the internet to the addresses, and from those to networks and doors."""
    cloud = picture.cloud
    if cloud is None:
        return
    places = {box.row: box for box in picture.addresses}
    for box in picture.addresses:
        picture.lines.append(Line(_curve(cloud.right, cloud.mid, box.x, box.mid), "trunk"))
    for box in picture.networks:
        network = box.row
        for source in network.sources if isinstance(network, NetworkRow) else ():
            if place := places.get(source):
                path = _curve(box.x, box.y + HEAD // 2, place.right, place.mid)
                picture.lines.append(Line(path, "out"))
    for label in picture.doors:
        door = label.row
        if isinstance(door, DoorRow) and (place := places.get(door.public_address)):
            path = _curve(place.right, place.mid, label.x - 2, label.mid)
            picture.lines.append(Line(path, "in", door.state.tone))


def _curve(x1: int, y1: int, x2: int, y2: int) -> str:
    bend = (x2 - x1) // 2
    return f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"
