"""Ranges of ports and whole addresses that lead to a guest, with packets really sent."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

from networks.host.spec import ForwardSpec, InboundSpec, NetworkSpec
from tests.netns import ask
from tests.networks.host.lab import OUTSIDE, PUBLIC, SECOND_PUBLIC, Lab, forward, network
from tests.networks.host.lab import with_forwards as having
from tests.networks.host.test_crash import killed
from tests.networks.host.test_limits import echoes

pytestmark = pytest.mark.kernel

BRIEF = 0.4
THIRD = "198.51.100.12"


class World:
    """A network that goes out as .11 with guests a and b, open to anybody where they are reachable
    as a whole, and one with guest c; the host has .12 too."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        lab.host.ip(f"address add {THIRD}/24 dev up0")
        self.one = replace(network(1, guests=2), inbound=(InboundSpec(cidr="0.0.0.0/0"),))
        self.two = network(2, guests=1)
        self.first, self.second = self.one.reservations
        self.a, self.b = lab.guest(self.first, self.one), lab.guest(self.second, self.one)
        self.c = lab.guest(self.two.reservations[0], self.two)
        lab.internet.tcp_server(80)
        lab.internet.udp_server(7)
        lab.apply(self.two)
        lab.apply(self.one)

    def having(self, *forwards: ForwardSpec) -> NetworkSpec:
        return having(self.one, *forwards)

    def apply(self, *forwards: ForwardSpec) -> None:
        self.lab.apply(self.having(*forwards))

    def whole(self, number: int = 9) -> ForwardSpec:
        """The third address, to guest a."""
        plain = forward(1, number, self.first, public_port=0, port=0)
        return replace(plain, protocol="all", public_address=THIRD, source_nat=True)

    def range(self, number: int, first: int, port: int, ports: int, **kind: str) -> ForwardSpec:
        return replace(
            forward(1, number, self.first, public_port=first, port=port, **kind), ports=ports
        )


@pytest.fixture
def world(lab: Lab) -> World:
    return World(lab)


@contextmanager
def connected(*places: tuple[World, str, int]) -> Iterator[list[socket.socket]]:
    """Connections from outside, each answered."""
    with ExitStack() as stack:
        made = []
        for world, address, port in places:
            made.append(stack.enter_context(world.lab.internet.connect(address, port)))
            assert made[-1].recv(100).decode() == OUTSIDE
        yield made


def test_a_large_range_keeps_its_ports_and_a_shifted_one_its_distance(world: World) -> None:
    for port in (20000, 25001, 29999, 8003):
        world.a.tcp_server(port)
        world.a.udp_server(port)
    world.apply(
        world.range(1, 20000, 20000, 10000),
        world.range(2, 20000, 20000, 10000, protocol="udp"),
        world.range(3, 3000, 8000, 10),
    )
    internet = world.lab.internet
    for port in (20000, 25001, 29999):
        assert internet.ask_tcp(PUBLIC, port) == OUTSIDE
        assert internet.ask_udp(PUBLIC, port) == OUTSIDE
    assert internet.ask_tcp(PUBLIC, 3003) == OUTSIDE
    assert internet.ask_tcp(PUBLIC, 3002, BRIEF) == ""
    assert internet.ask_tcp(PUBLIC, 30000, BRIEF) == ""
    assert world.b.ask_tcp(PUBLIC, 25001) == SECOND_PUBLIC
    assert world.lab.host.ask_tcp(PUBLIC, 25001) == PUBLIC


def test_a_range_that_goes_ends_its_connections_and_no_others(world: World) -> None:
    for port in (20007, 30007, 8007):
        world.a.tcp_server(port)
    kept, gone = world.range(1, 30000, 30000, 100), world.range(2, 20000, 20000, 100)
    shifted = world.range(3, 3000, 8000, 10)
    world.apply(kept, gone, shifted)
    places = [(world, PUBLIC, port) for port in (30007, 20007, 3007)]
    with connected(*places) as (stays, leaves, moves):
        assert killed(world.lab, world.having(kept, replace(shifted, port=9000)), 1)
        world.apply(kept, replace(shifted, port=9000))
        assert echoes(stays)
        assert not echoes(leaves)
        assert not echoes(moves)
    world.a.tcp_server(9007)
    assert world.lab.internet.ask_tcp(PUBLIC, 3007) == OUTSIDE
    assert world.lab.internet.ask_tcp(PUBLIC, 20007, BRIEF) == ""


def test_udp_clients_of_a_new_range_leave_their_old_path(world: World) -> None:
    world.a.udp_server(20007)
    with world.lab.internet.udp_socket() as client:
        assert ask(client, PUBLIC, 20007, BRIEF) == ""
        world.apply(world.range(1, 20000, 20000, 100, protocol="udp"))
        assert ask(client, PUBLIC, 20007) == OUTSIDE


def test_a_service_of_the_host_in_a_range_is_named(world: World) -> None:
    world.lab.host.tcp_server(20050)
    with world.lab.reconciler() as reconciler:
        kept = world.range(2, 30000, 30000, 5)
        spec = world.having(world.range(1, 20000, 20000, 100), kept)
        outcome = reconciler.apply(spec, lambda _: None)
    assert outcome.ok
    assert list(outcome.attention) == ["forward-1-1"]
    assert "tcp port 20050" in outcome.attention["forward-1-1"]


def test_a_whole_address_leads_both_ways(world: World) -> None:
    world.a.tcp_server(80)
    world.a.udp_server(7)
    world.apply(world.whole())
    internet = world.lab.internet
    assert internet.ask_tcp(THIRD, 80) == OUTSIDE
    assert internet.ask_udp(THIRD, 7) == OUTSIDE
    assert world.lab.host.ask_tcp(THIRD, 80) == PUBLIC
    assert world.b.ask_tcp(THIRD, 80) == SECOND_PUBLIC
    assert world.a.ask_tcp(THIRD, 80) == THIRD
    assert world.c.ask_tcp(THIRD, 80) == SECOND_PUBLIC
    assert world.a.ask_tcp(OUTSIDE, 80) == THIRD
    assert world.a.ask_udp(OUTSIDE, 7) == THIRD
    assert world.b.ask_tcp(OUTSIDE, 80) == SECOND_PUBLIC
    with world.a.packets("eth0") as frames:
        assert internet.pings(THIRD)
        while (frame := frames.recv(2000))[23:24] != b"\x01":
            continue
    assert frame[30:34] == socket.inet_aton(world.first.address)


def test_a_whole_address_admits_the_sources_it_names(world: World) -> None:
    world.a.tcp_server(80)
    world.apply(replace(world.whole(), sources=("10.9.0.0/16",)))
    assert world.lab.internet.ask_tcp(THIRD, 80, BRIEF) == ""
    assert world.a.ask_tcp(OUTSIDE, 80) == THIRD
    world.apply(replace(world.whole(), sources=(f"{OUTSIDE}/32",)))
    assert world.lab.internet.ask_tcp(THIRD, 80) == OUTSIDE


def test_a_whole_address_that_goes_takes_its_connections_along_and_no_others(world: World) -> None:
    world.a.tcp_server(80)
    door = forward(1, 1, world.first, public_port=8080)
    world.apply(world.whole(), door)
    with (
        connected((world, PUBLIC, 8080), (world, THIRD, 80)) as (stays, leaves),
        world.a.connect(OUTSIDE, 80) as own,
        world.b.connect(OUTSIDE, 80) as sibling,
    ):
        assert own.recv(100).decode() == THIRD
        assert sibling.recv(100).decode() == SECOND_PUBLIC
        assert killed(world.lab, world.having(door), 1)
        world.apply(door)
        assert echoes(stays)
        assert echoes(sibling)
        assert not echoes(leaves)
        assert not echoes(own)
    assert world.a.ask_tcp(OUTSIDE, 80) == SECOND_PUBLIC
    assert world.lab.internet.ask_tcp(THIRD, 80, BRIEF) == ""


def test_a_guest_leaves_by_the_address_of_its_forward_if_asked(world: World) -> None:
    door = forward(1, 1, world.first, public_port=8080)
    with world.b.connect(OUTSIDE, 80) as sibling:
        assert sibling.recv(100).decode() == SECOND_PUBLIC
        world.apply(replace(door, source_nat=True))
        assert echoes(sibling)
        assert world.a.ask_tcp(OUTSIDE, 80) == PUBLIC
        assert world.b.ask_tcp(OUTSIDE, 80) == SECOND_PUBLIC
    world.apply(door)
    assert world.a.ask_tcp(OUTSIDE, 80) == SECOND_PUBLIC
