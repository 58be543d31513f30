"""Every source, every target, TCP and UDP: what arrives is what the table says."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from networks.host.spec import EgressSpec, ForwardSpec, InboundSpec, NetworkSpec, PeerSpec
from tests.netns import Namespace
from tests.networks.host import matrix
from tests.networks.host.lab import OUTSIDE, PUBLIC, Lab, assert_converges, forward, network

DEADLINE = 20.0
AFTERWARDS = 0.4
OPEN, CLOSED, SERVICE = 80, 81, 22
PROTOCOLS = ("tcp", "udp")


class Place(NamedTuple):
    """Where something is asked for."""

    address: str
    port: int


class World:
    """All networks of the table on one host, with the guests it names."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.specs = {spec.name: spec for spec in _specs()}
        self.guests = {
            reservation.address: lab.guest(reservation, spec)
            for spec in self.specs.values()
            for reservation in spec.reservations
        }
        for guest in (*self.guests.values(), lab.internet):
            _serve(guest, OPEN)
            _serve(guest, CLOSED)
        _serve(lab.host, SERVICE)
        lab.internet.ip(f"route add 10.0.0.0/8 via {PUBLIC}")
        with lab.reconciler() as reconciler:
            for spec in self.specs.values():
                assert_converges(reconciler, spec)

    def source(self, row: str) -> Namespace:
        if row in {"outside", "the host"}:
            return self.lab.internet if row == "outside" else self.lab.host
        return self.guests[_address(*GUESTS[row])]

    def targets(self, row: str) -> list[Place | None]:
        """In the order of the table; a ping has no place."""
        name = GUESTS[row][0] if row in GUESTS else ""
        service = self.specs[name].gateway if name else PUBLIC
        return [
            Place(_address("nat"), OPEN),
            Place(PUBLIC, 8081),
            Place(_address("routed"), OPEN),
            Place(_address("routed"), CLOSED),
            Place(PUBLIC, 8082),
            Place(_address("isolated"), OPEN),
            Place(_address("peer"), OPEN),
            Place(_address("apart"), OPEN),
            Place(_address("other"), OPEN),
            Place(PUBLIC, 8086),
            None,
            Place(service, SERVICE),
            Place(OUTSIDE, OPEN),
        ]


NUMBERS = {"nat": 1, "routed": 2, "isolated": 3, "peer": 4, "apart": 5, "other": 6, "listed": 7}
# The guest that a row of the table speaks of: its network, and which one of it.
GUESTS = {
    "the nat guest itself": ("nat", 0),
    "its neighbour": ("nat", 1),
    "the peer guest": ("peer", 0),
    "the routed guest": ("routed", 0),
    "its neighbour, routed": ("routed", 1),
    "an isolated guest": ("isolated", 1),
    "an apart guest": ("apart", 1),
    "the other guest": ("other", 0),
    "a listed guest": ("listed", 0),
}


def _address(name: str, guest: int = 0) -> str:
    return f"10.6{NUMBERS[name]}.0.{guest + 2}"


def _specs() -> Iterator[NetworkSpec]:
    made = {name: replace(network(number), name=name) for name, number in NUMBERS.items()}
    opened = tuple(
        InboundSpec(cidr="0.0.0.0/0", protocol=protocol, first_port=OPEN, last_port=OPEN)
        for protocol in ("tcp", "udp")
    )
    options: dict[str, dict[str, Any]] = {
        "nat": {"peers": (_peer(made["peer"]),)},
        "peer": {"peers": (_peer(made["nat"]),)},
        "routed": {"mode": "routed", "source_address": None, "inbound": opened},
        "isolated": {"mode": "isolated", "source_address": None},
        "apart": {"guests_apart": True},
        "listed": {"egress": (EgressSpec(cidr=f"{OUTSIDE}/32"),)},
    }
    for name, spec in made.items():
        forwarded: tuple[ForwardSpec, ...] = ()
        if name in {"nat", "routed", "other"}:
            first, number = spec.reservations[0], NUMBERS[name]
            forwarded = tuple(
                forward(number, at, first, protocol=protocol, public_port=8080 + number)
                for at, protocol in enumerate(PROTOCOLS, 1)
            )
        yield replace(spec, forwards=forwarded, **options.get(name, {}))


def _peer(spec: NetworkSpec) -> PeerSpec:
    return PeerSpec(bridge=spec.bridge, subnet=spec.subnet)


def _serve(at: Namespace, port: int) -> None:
    at.tcp_server(port)
    at.udp_server(port)


def reached(
    source: Namespace, places: set[Place], expected: set[tuple[str, Place]]
) -> set[tuple[str, Place]]:
    """Which places answer by which protocol: asked until those expected have, and then a moment
    longer for those that should not."""
    answered: set[tuple[str, Place]] = set()
    with ExitStack() as stack:
        waiting = {}
        for place in places:
            for protocol in PROTOCOLS:
                waiting[_asking(stack, source, protocol, place)] = (protocol, place)
        limit = time.monotonic() + DEADLINE
        while (now := time.monotonic()) < limit:
            for trial in select.select(list(waiting), [], [], 0.1)[0]:
                if _answered(trial):
                    answered.add(waiting[trial])
                    del waiting[trial]
                elif waiting[trial][0] == "tcp":
                    del waiting[trial]
            for trial, (protocol, _) in waiting.items():
                if protocol == "udp":
                    _ask(trial)
            if expected <= answered:
                limit = min(limit, now + AFTERWARDS)
    return answered


def _asking(stack: ExitStack, source: Namespace, protocol: str, place: Place) -> socket.socket:
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with source.entered():
        trial = stack.enter_context(socket.socket(socket.AF_INET, kind))
    trial.setblocking(False)
    trial.connect_ex(place)
    if protocol == "udp":
        _ask(trial)
    return trial


def _ask(trial: socket.socket) -> None:
    try:
        trial.send(b"who")
    except OSError:  # what an earlier packet was told
        return


def _answered(trial: socket.socket) -> bool:
    """Both servers say who asked."""
    try:
        return bool(trial.recv(100))
    except OSError:
        return False


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("matrix")
    lab = Lab(folder)
    try:
        yield World(lab)
    finally:
        lab.close()


@pytest.mark.pure
def test_the_page_of_the_table_is_current() -> None:
    """`python -m tests.networks.host.matrix` writes it."""
    assert matrix.PAGE.read_text() == matrix.page()


@pytest.mark.kernel
@pytest.mark.parametrize(("row", "verdicts"), matrix.rows(), ids=[row for row, _ in matrix.rows()])
def test_what_arrives_is_what_the_table_says(
    world: World, row: str, verdicts: list[bool | None]
) -> None:
    source, names = world.source(row), matrix.targets()
    asked = {
        (at, name): (place, verdict)
        for at, (name, place, verdict) in enumerate(
            zip(names, world.targets(row), verdicts, strict=True)
        )
        if verdict is not None
    }
    places = {place for place, _ in asked.values() if place is not None}
    wanted = {place for place, verdict in asked.values() if place is not None and verdict}
    expected = {(protocol, place) for place in wanted for protocol in PROTOCOLS}
    found = reached(source, places, expected)
    told = {
        (name, protocol): (protocol, place) in found
        for (_, name), (place, _) in asked.items()
        if place is not None
        for protocol in PROTOCOLS
    }
    assert found == expected, told
    gateway = asked.get((10, "ping of gateway"))
    if gateway is not None:
        name, _ = GUESTS[row]
        assert source.pings(world.specs[name].gateway, 5.0) is gateway[1]
