"""The live translation table over IPv6: listed beside IPv4, searched, and ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from networks.host.flows import Listing, Scope, ended, listed
from tests.networks.host.lab import Lab
from tests.networks.host.lab6 import OUTSIDE6, PUBLIC6, SECOND_PUBLIC6
from tests.networks.host.test_ipv6 import World

pytestmark = pytest.mark.kernel

IN = Scope(network="", forward="forward-1-1")
OF_A = Scope(network="", reservations=("reservation-1-2",))
ALL = Scope(network="")


@pytest.fixture
def world(world6: World) -> Iterator[World]:
    """A connection through forward 1-1, one of guest a to the outside, one through 2-3."""
    held = [
        world6.lab.internet.connect(PUBLIC6, 9001),
        world6.a.connect(OUTSIDE6, 80),
        world6.lab.internet.connect(PUBLIC6, 9003),
    ]
    for each in held:
        assert each.recv(100)
    yield world6
    for each in held:
        each.close()


@pytest.fixture
def world6(lab: Lab) -> World:
    return World(lab)


def show(world: World, scope: Scope) -> Listing:
    return world.lab.host.call(lambda: listed(world.one, scope))


def test_connections_over_ipv6_are_shown_searched_and_ended(world: World) -> None:
    (through,) = show(world, IN).flows
    assert (through.direction, through.flow.answers) == ("in", world.a_address)
    assert (through.flow.source, through.flow.destination) == (OUTSIDE6, PUBLIC6)
    for scope in (OF_A, ALL):
        shown = {one.direction: one.flow for one in show(world, scope).flows}
        assert set(shown) == {"in", "out"}
        assert (shown["out"].source, shown["out"].seen_as) == (world.a_address, SECOND_PUBLIC6)
    (found,) = show(world, replace(ALL, search="9001")).flows
    assert found.flow.id == through.flow.id
    assert len(show(world, replace(ALL, search=OUTSIDE6)).flows) == 2
    gone = replace(OF_A, flow=through.flow.id)
    assert world.lab.host.call(lambda: ended(world.one, gone)) == 1
    assert [one.direction for one in show(world, ALL).flows] == ["out"]
    assert world.lab.host.call(lambda: ended(world.one, ALL)) == 1
    assert show(world, ALL).total == 0
    assert "dport=9003" in world.lab.host.run("conntrack", "-L", "-f", "ipv6")
