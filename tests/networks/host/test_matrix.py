"""Every source, every target, TCP and UDP, IPv4 and IPv6: what arrives is what the table says."""

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
from tests.netns import Namespace, veth
from tests.networks.host import matrix
from tests.networks.host.lab import OUTSIDE, PUBLIC, Lab, assert_converges, forward, network
from tests.networks.host.lab6 import (
    OUTSIDE6,
    PUBLIC6,
    SECOND_PUBLIC6,
    boot,
    connect6,
    settled,
    with_ipv6,
)

DEADLINE = 20.0
AFTERWARDS = 0.4
OPEN, CLOSED, SERVICE = 80, 81, 22
PING = "ping of gateway"
PROTOCOLS = ("tcp", "udp")
VERSIONS = (4, 6)
WIRE = ("198.51.101.1", "198.51.101.50", "198.51.101.51")
WIRE6 = ("2001:db8:1::1", "2001:db8:1::50", "2001:db8:1::51")
INSIDE6 = "fd00:0:0:60::/60"


class Place(NamedTuple):
    """Where something is asked for."""

    address: str
    port: int


class World:
    """All networks of the table on one host, with the guests it names."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        connect6(lab)
        # A server that answers at "::" speaks from the address the host likes best.
        lab.host.ip(f"-6 address change {SECOND_PUBLIC6}/64 dev up0 preferred_lft 0")
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
        lab.internet.ip(f"-6 route add {INSIDE6} via {PUBLIC6}")
        self.bridged = self._on_a_wire_of_others()
        with lab.reconciler() as reconciler:
            for spec in self.specs.values():
                assert_converges(reconciler, spec)
        boot(*self.guests.values())
        for spec in self.specs.values():
            for reservation in spec.reservations:
                guest = self.guests[reservation.address]
                guest.ip(f"route replace default via {spec.gateway}")
                assert settled(guest, reservation)

    def _on_a_wire_of_others(self) -> list[Namespace]:
        """The guests of the bridged network: the outside leads on to their wire."""
        host, outside = self.lab.host, self.lab.internet
        for switch in ("iptables", "ip6tables"):  # by which guests do not reach themselves
            host.sysctl(f"bridge/bridge-nf-call-{switch}", "0")
        host.ip("link add br0 type bridge forward_delay 0")
        host.ip("link set br0 up")
        veth(host, "up1", outside, "eth1")
        host.ip("link set up1 master br0")
        outside.ip(f"address add {WIRE[0]}/24 dev eth1")
        outside.ip(f"-6 address add {WIRE6[0]}/64 dev eth1 nodad")
        for switch in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            outside.sysctl(switch, "1")
        spec = _bridged()
        guests = [self.lab.cable(each) for each in spec.reservations]
        for guest, address, address6 in zip(guests, WIRE[1:], WIRE6[1:], strict=True):
            guest.ip(f"address add {address}/24 dev eth0")
            guest.ip(f"-6 address add {address6}/64 dev eth0 nodad")
            guest.ip(f"route add default via {WIRE[0]}")
            guest.ip(f"-6 route add default via {WIRE6[0]}")
            for port in (OPEN, CLOSED):
                _serve(guest, port)
        self.lab.apply(spec)
        return guests

    def source(self, row: str) -> Namespace:
        if row in {"outside", "the host"}:
            return self.lab.internet if row == "outside" else self.lab.host
        if row == "a bridged guest":
            return self.bridged[1]
        name, guest = GUESTS[row]
        return self.guests[self.specs[name].reservations[guest].address]

    def targets(self, row: str, version: int) -> list[Place | None]:
        """In the order of the table; a ping has no place."""
        public, outside = (PUBLIC, OUTSIDE) if version == 4 else (PUBLIC6, OUTSIDE6)
        gateway, wire, _ = WIRE if version == 4 else WIRE6
        if row == "a bridged guest":
            outside = gateway  # by which a server there speaks to it
        service = self.gateway(row, version) if row in GUESTS else public

        def guest(name: str, port: int = OPEN) -> Place:
            first = self.specs[name].reservations[0]
            return Place(first.address if version == 4 else first.address6, port)

        return [
            guest("nat"),
            Place(public, 8081),
            guest("routed"),
            guest("routed", CLOSED),
            Place(public, 8082),
            guest("isolated"),
            guest("peer"),
            guest("apart"),
            guest("other"),
            Place(public, 8086),
            Place(wire, OPEN),
            Place(wire, CLOSED),
            None,
            Place(service, SERVICE),
            Place(outside, OPEN),
        ]

    def gateway(self, row: str, version: int) -> str:
        spec = self.specs[GUESTS[row][0]]
        return spec.gateway if version == 4 else spec.gateway6


NUMBERS = {"nat": 1, "routed": 2, "isolated": 3, "peer": 4, "apart": 5, "other": 6, "listed": 7}
OPENED = tuple(
    InboundSpec(cidr=cidr, protocol=protocol, first_port=OPEN, last_port=OPEN)
    for protocol in ("tcp", "udp")
    for cidr in ("0.0.0.0/0", "::/0")
)
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


def _bridged() -> NetworkSpec:
    spec = replace(network(8), name="bridged", mode="bridged", attach="br0", subnet="", gateway="")
    reservations = tuple(replace(each, address="") for each in spec.reservations)
    return replace(spec, source_address=None, reservations=reservations, inbound=OPENED)


def _both(name: str, number: int) -> NetworkSpec:
    spec = replace(network(number), name=name)
    if name == "routed":
        return with_ipv6(spec, f"2001:db8:0:6{number}::/64", "routed")
    return with_ipv6(spec, f"fd00:0:0:6{number}::/64", "nat66", SECOND_PUBLIC6)


def _specs() -> Iterator[NetworkSpec]:
    made = {name: _both(name, number) for name, number in NUMBERS.items()}
    options: dict[str, dict[str, Any]] = {
        "nat": {"peers": (_peer(made["peer"]),)},
        "peer": {"peers": (_peer(made["nat"]),)},
        "routed": {"mode": "routed", "source_address": None, "inbound": OPENED},
        "isolated": {"mode": "isolated", "source_address": None},
        "apart": {"guests_apart": True},
        "listed": {
            "egress": (EgressSpec(cidr=f"{OUTSIDE}/32"), EgressSpec(cidr=f"{OUTSIDE6}/128"))
        },
    }
    for name, spec in made.items():
        forwarded: tuple[ForwardSpec, ...] = ()
        if name in {"nat", "routed", "other"}:
            first, number = spec.reservations[0], NUMBERS[name]
            opens = tuple(
                forward(number, at, first, protocol=protocol, public_port=8080 + number)
                for at, protocol in enumerate(PROTOCOLS, 1)
            )
            forwarded = (*opens, *(_by_ipv6(each, first.address6) for each in opens))
        yield replace(spec, forwards=forwarded, **options.get(name, {}))


def _by_ipv6(made: ForwardSpec, address6: str) -> ForwardSpec:
    number = made.number + 50
    return replace(
        made, id=f"forward6-{number}", number=number, public_address=PUBLIC6, address=address6
    )


def _peer(spec: NetworkSpec) -> PeerSpec:
    return PeerSpec(bridge=spec.bridge, subnet=spec.subnet, subnet6=spec.subnet6)


def _serve(at: Namespace, port: int) -> None:
    for address in ("", "::"):
        at.tcp_server(port, address)
        at.udp_server(port, address)


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
    family = socket.AF_INET6 if ":" in place.address else socket.AF_INET
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with source.entered():
        trial = stack.enter_context(socket.socket(family, kind))
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
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("row", "verdicts"), matrix.rows(), ids=[row for row, _ in matrix.rows()])
def test_what_arrives_is_what_the_table_says(
    world: World, row: str, verdicts: list[bool | None], version: int
) -> None:
    source, names = world.source(row), matrix.targets()
    asked = {
        (at, name): (place, verdict)
        for at, (name, place, verdict) in enumerate(
            zip(names, world.targets(row, version), verdicts, strict=True)
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
    gateway = asked.get((names.index(PING), PING))
    if gateway is not None:
        assert source.pings(world.gateway(row, version), 5.0) is gateway[1]
