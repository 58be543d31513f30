"""IPv6 beside IPv4: what guests get, reach and cannot do, with packets really sent."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from networks.host.drivers import flows
from networks.host.spec import NetworkSpec
from tests.netns import ask
from tests.networks.host.lab import OUTSIDE, Lab, absent, network, with_forwards
from tests.networks.host.lab6 import (
    OUTSIDE6,
    PUBLIC6,
    SECOND_PUBLIC6,
    addresses6,
    boot,
    connect6,
    forward6,
    network6,
    settled,
)
from tests.networks.host.test_crash import killed

pytestmark = pytest.mark.kernel

BRIEF = 0.4


class World:
    """Network 1 goes out as 2001:db8::11 and has guests a and b; network 2 masquerades, has c."""

    def __init__(self, lab: Lab) -> None:
        connect6(lab)
        self.lab = lab
        self.one, self.two = network6(1, guests=2), network6(2, guests=1, source=None)
        first, second = self.one.reservations
        third = self.two.reservations[0]
        self.a, self.b = lab.guest(first, self.one), lab.guest(second, self.one)
        self.c = lab.guest(third, self.two)
        self.a_address, self.b_address = first.address6, second.address6
        self.c_address = third.address6
        for guest in (self.a, self.b, self.c, lab.internet):
            guest.tcp_server(80, "::")
            guest.udp_server(7, "::")
        self.one = with_forwards(
            self.one, forward6(1, 1, first), forward6(1, 2, first, protocol="udp", port=7)
        )
        self.two = with_forwards(self.two, forward6(2, 3, third))
        lab.apply(self.one)
        lab.apply(self.two)
        boot(self.a, self.b, self.c)
        assert settled(self.a, first)
        assert settled(self.b, second)
        assert settled(self.c, third)

    def apply(self, spec: NetworkSpec) -> None:
        self.lab.apply(replace(spec, generation=spec.generation + 1))


@pytest.fixture
def world(lab: Lab) -> World:
    return World(lab)


def test_guests_reach_out_and_forwards_in(world: World) -> None:
    internet = world.lab.internet
    assert world.a.ask_tcp(OUTSIDE6, 80) == SECOND_PUBLIC6
    assert world.a.ask_udp(OUTSIDE6, 7) == SECOND_PUBLIC6
    assert world.c.ask_tcp(OUTSIDE6, 80) in {PUBLIC6, SECOND_PUBLIC6}
    assert internet.ask_tcp(PUBLIC6, 9001) == OUTSIDE6
    assert internet.ask_udp(PUBLIC6, 9002) == OUTSIDE6
    assert world.lab.host.ask_tcp(PUBLIC6, 9001)
    assert world.a.ask_tcp(PUBLIC6, 9001) == SECOND_PUBLIC6
    assert world.b.ask_tcp(PUBLIC6, 9001) == SECOND_PUBLIC6
    assert world.b.ask_udp(PUBLIC6, 9002) == SECOND_PUBLIC6
    assert world.c.ask_tcp(PUBLIC6, 9001)
    assert world.a.ask_tcp(world.b_address, 80) == world.a_address
    assert world.a.pings(OUTSIDE6)


def test_nothing_else_is_reached(world: World) -> None:
    lab = world.lab
    lab.internet.ip(f"-6 route add fd00::/16 via {PUBLIC6}")
    assert lab.internet.ask_tcp(world.a_address, 80, BRIEF) == ""
    assert lab.internet.ask_tcp(PUBLIC6, 80, BRIEF) == ""
    assert world.a.ask_tcp(world.c_address, 80, BRIEF) == ""
    assert world.c.ask_tcp(world.a_address, 80, BRIEF) == ""
    lab.host.tcp_server(22, "::")
    for address in (world.one.gateway6, world.two.gateway6, PUBLIC6, "fe80::1%eth0"):
        assert world.a.ask_tcp(address, 22, BRIEF) == ""
    assert world.a.pings(world.one.gateway6)
    assert not world.a.pings(world.two.gateway6, BRIEF)
    assert not world.a.pings(PUBLIC6, BRIEF)


def test_removing_a_forward_ends_its_connections_and_no_others(world: World) -> None:
    with (
        world.lab.internet.connect(PUBLIC6, 9001) as removed,
        world.lab.internet.connect(PUBLIC6, 9003) as kept,
        world.a.connect(OUTSIDE6, 80) as outward,
    ):
        for connection in (removed, kept, outward):
            assert connection.recv(100)
        world.apply(replace(world.one, forwards=world.one.forwards[1:]))
        assert _echoes(kept)
        assert _echoes(outward)
        assert not _echoes(removed)
    assert world.lab.internet.ask_udp(PUBLIC6, 9002) == OUTSIDE6


def test_another_source_address_is_used_at_once(world: World) -> None:
    with world.a.udp_socket(socket.AF_INET6) as client:
        assert ask(client, OUTSIDE6, 7) == SECOND_PUBLIC6
        world.apply(replace(world.one, source_address6=PUBLIC6))
        assert ask(client, OUTSIDE6, 7) == PUBLIC6


def test_ipv6_comes_and_goes_without_touching_ipv4(lab: Lab) -> None:
    connect6(lab)
    spec, plain = network6(guests=1), network(guests=1)
    guest = lab.guest(spec.reservations[0], spec)
    lab.internet.tcp_server(80)
    lab.internet.tcp_server(81, "::")
    lab.apply(plain)
    with guest.connect(OUTSIDE, 80) as connection:
        assert connection.recv(100)
        lab.apply(replace(spec, generation=2))
        assert settled(guest, spec.reservations[0])
        assert guest.ask_tcp(OUTSIDE6, 81) == SECOND_PUBLIC6
        lab.apply(replace(plain, generation=3))
        assert guest.ask_tcp(OUTSIDE6, 81, BRIEF) == ""
        assert addresses6(lab.host, "kw1") == []
        assert _echoes(connection)
    lab.apply(replace(absent(spec), generation=4))
    with lab.host.entered():
        assert [flow for flow in flows.listed() if flow.family == socket.AF_INET6] == []


def test_routed_guests_keep_their_addresses(lab: Lab) -> None:
    connect6(lab)
    spec = network6(guests=1, ipv6="routed")
    target = spec.reservations[0]
    guest = lab.guest(target, spec)
    for each in (guest, lab.internet):
        each.tcp_server(80, "::")
    lab.apply(spec)
    boot(guest)
    assert settled(guest, target)
    assert guest.ask_tcp(OUTSIDE6, 80) == target.address6
    assert lab.internet.ask_tcp(target.address6, 80, BRIEF) == ""
    lab.apply(replace(spec, generation=2, mode="isolated"))
    assert guest.ask_tcp(OUTSIDE6, 80, BRIEF) == ""


def _echoes(connection: socket.socket) -> bool:
    connection.settimeout(BRIEF * 2)
    try:
        connection.sendall(b"still there")
        return connection.recv(100) == b"still there"
    except OSError:
        return False


@pytest.mark.parametrize("going", [False, True])
def test_ipv6_comes_and_goes_though_the_worker_dies_after_any_op(lab: Lab, going: bool) -> None:
    connect6(lab)
    spec = network6(guests=1)
    target = spec.reservations[0]
    with_it = with_forwards(spec, forward6(1, 1, target))
    lab.cable(target)
    before, after = (with_it, network(guests=1)) if going else (network(guests=1), with_it)
    at = 1
    lab.apply(before)
    while killed(lab, after, at):
        lab.apply(after)
        lab.apply(before)
        at += 1
    assert at > 3
