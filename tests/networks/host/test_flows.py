"""The live translation table, read with real connections and held against `conntrack`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from networks.host.flows import Listing, Scope, ended, listed
from networks.host.spec import NetworkSpec
from tests.networks.host.lab import OUTSIDE, PUBLIC, SECOND_PUBLIC, Lab, forward, with_forwards
from tests.networks.host.test_traffic import World

pytestmark = pytest.mark.kernel

IN = Scope(network="", forward="forward-1-1")
OF_A = Scope(network="", reservations=("reservation-1-2",))
ALL = Scope(network="")


@pytest.fixture
def world(lab: Lab) -> Iterator[World]:
    """A connection through forward 1-1, one through 2-1, and one of guest a to the outside."""
    made = World(lab)
    held = [
        lab.internet.connect(PUBLIC, 8080),
        lab.internet.connect(PUBLIC, 8082),
        made.a.connect(OUTSIDE, 80),
    ]
    for each in held:
        assert each.recv(100)
    yield made
    for each in held:
        each.close()


def spec_of(world: World) -> NetworkSpec:
    first = world.one.reservations[0]
    return with_forwards(world.one, forward(1, 1, first, public_port=8080))


def show(world: World, scope: Scope) -> Listing:
    return world.lab.host.call(lambda: listed(spec_of(world), scope))


def test_a_forward_shows_what_it_translates(world: World) -> None:
    shown = show(world, IN)
    (one,) = shown.flows
    assert (shown.total, one.direction, one.forward) == (1, "in", "forward-1-1")
    flow = one.flow
    assert (flow.protocol, flow.state, flow.replied) == ("tcp", "established", True)
    assert (flow.source, flow.destination, flow.destination_port) == (OUTSIDE, PUBLIC, 8080)
    assert (flow.answers, flow.answers_port) == (world.a_address, 80)
    listing = world.lab.host.run("conntrack", "-L", "-m", "101")
    assert f"sport={flow.source_port} dport=8080" in listing
    assert flow.timeout > 0


def test_a_guest_shows_both_directions_and_a_network_nothing_of_others(world: World) -> None:
    for scope in (OF_A, ALL):
        shown = {one.direction: one.flow for one in show(world, scope).flows}
        assert set(shown) == {"in", "out"}
        assert (shown["out"].source, shown["out"].seen_as) == (world.a_address, SECOND_PUBLIC)
        assert shown["in"].destination_port == 8080


def test_a_guest_of_another_network_stays_behind_its_public_address(world: World) -> None:
    """Both ways: who comes in by a forward of this network, and who answers one of its guests."""
    with world.c.connect(PUBLIC, 8080) as coming, world.a.connect(PUBLIC, 8082) as going:
        assert coming.recv(100)
        assert going.recv(100)
        flows = [one.flow for one in show(world, ALL).flows]
        assert world.c_address in world.lab.host.run("conntrack", "-L")
        for flow in flows:
            assert world.c_address not in {flow.source, flow.seen_as, flow.answers}
        came = [f.source for f in flows if f.destination_port == 8080 and f.source != OUTSIDE]
        assert len(came) == 1
        assert came[0] in {PUBLIC, world.one.gateway}, "as masquerading shows it"
        assert [flow for flow in flows if (flow.answers, flow.answers_port) == (PUBLIC, 8082)]
        assert show(world, replace(ALL, search=world.c_address)).flows == ()


def test_what_a_vm_says_to_itself_is_told_once(world: World) -> None:
    """By two guests of one network, and by those of two networks, of which one is told first."""
    both = replace(OF_A, reservations=("reservation-1-2", "reservation-1-3"))
    of_c = Scope(network="", reservations=("reservation-2-2",))
    beside = replace(of_c, beside=(("one", OF_A.reservations),))
    find = {"one": spec_of(world)}.get

    def told(spec: NetworkSpec, scope: Scope) -> int:
        return world.lab.host.call(lambda: listed(spec, scope, find)).total

    before = told(spec_of(world), both), told(world.two, of_c), told(world.two, beside)
    with world.b.connect(PUBLIC, 8080) as within, world.a.connect(PUBLIC, 8082) as across:
        assert within.recv(100)
        assert across.recv(100)
        after = told(spec_of(world), both), told(world.two, of_c), told(world.two, beside)
    assert [new - old for new, old in zip(after, before, strict=True)] == [2, 1, 0]


def test_it_can_be_searched_and_is_never_longer_than_asked(world: World) -> None:
    for word, count in {"8080": 1, OUTSIDE: 2, "established": 2, "udp": 0, "10.62.": 0}.items():
        assert len(show(world, replace(ALL, search=word)).flows) == count, word
    short = show(world, replace(ALL, limit=1))
    assert (len(short.flows), short.total) == (1, 2)


def test_what_is_counted_and_timed_is_shown(world: World) -> None:
    assert show(world, IN).flows[0].flow.bytes_in is None
    world.lab.host.sysctl("netfilter/nf_conntrack_acct", "1")
    world.lab.host.sysctl("netfilter/nf_conntrack_timestamp", "1")
    with world.lab.internet.connect(PUBLIC, 8080) as counted:
        assert counted.recv(100)
        new = [one.flow for one in show(world, IN).flows if one.flow.bytes_in]
        (flow,) = new
        assert flow.bytes_out
        assert flow.age is not None
        assert flow.age < 60


def test_ending_one_leaves_its_siblings(world: World) -> None:
    with world.lab.internet.connect(PUBLIC, 8080) as second:
        assert second.recv(100)
        first, kept = (one.flow for one in show(world, IN).flows)
        gone = replace(IN, flow=first.id)
        assert world.lab.host.call(lambda: ended(spec_of(world), gone)) == 1
        assert [one.flow.id for one in show(world, IN).flows] == [kept.id]


@pytest.mark.parametrize(("scope", "count"), [(IN, 1), (OF_A, 2), (ALL, 2)])
def test_ending_all_of_something_ends_nothing_else(world: World, scope: Scope, count: int) -> None:
    assert world.lab.host.call(lambda: ended(spec_of(world), scope)) == count
    assert show(world, scope).total == 0
    assert "dport=8082" in world.lab.host.run("conntrack", "-L", "-m", "201")
