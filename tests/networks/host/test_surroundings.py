"""What is kept of the host's addresses and uplinks is what the kernel has now."""

from __future__ import annotations

import pytest

from networks.host.drivers import hostfacts
from networks.host.drivers.surroundings import Surroundings
from tests.networks.host.lab import OUTSIDE, Lab

pytestmark = pytest.mark.kernel


def test_every_change_of_others_is_seen_at_once(lab: Lab) -> None:
    with lab.host.entered():
        known = Surroundings()
    commands = [
        "address add 10.9.0.1/24 dev up0",
        "link add other type veth peer name peer",
        "address add 10.10.0.1/24 dev other",
        "link set other name lan",
        "route del default",
        "link set lan up",
        "route add default dev lan",
        f"route add default via {OUTSIDE} metric 5",
        "address del 10.9.0.1/24 dev up0",
        "link del lan",
    ]
    seen = []
    for command in commands:
        lab.host.ip(command)
        with lab.host.entered():
            assert known.addresses() == [*hostfacts.addresses(), *hostfacts.addresses6()]
            assert known.uplinks() == hostfacts.uplinks()
        seen.append(known.uplinks())
    assert seen[3:] == [("up0",), (), (), ("lan",), ("lan", "up0"), ("lan", "up0"), ("up0",)]
    known.close()


def test_our_own_networks_have_nothing_read_again(lab: Lab) -> None:
    lab.host.sysctl("ipv6/conf/default/disable_ipv6", "1")  # or addresses come by themselves
    peer = lab.namespace("guest").name
    with lab.host.entered():
        known = Surroundings()
        before = known.routes()
    for command in (
        "link add kw1 type bridge",
        "address add 10.61.0.1/24 dev kw1",
        "link set kw1 up",
        f"link add kt11 type veth peer name peer11 netns {peer}",
        "link set kt11 master kw1 up",
        "link add kw2 type bridge",
        "address add 10.62.0.1/24 dev kw2",
        "link del kw2",
    ):
        lab.host.ip(command)
        with lab.host.entered():
            found = known.addresses()
            assert set(found) == {*hostfacts.addresses(), *hostfacts.addresses6()}
            assert known.routes() is before
    assert known.other_subnets("kw9") == {"10.61.0.0/24"}
    assert known.other_subnets("kw1") == frozenset()
    known.close()


def test_a_route_somebody_sets_through_our_bridge_is_seen(lab: Lab) -> None:
    with lab.host.entered():
        known = Surroundings()
        known.routes()
    lab.host.ip("link add kw1 type bridge")
    lab.host.ip("address add 10.61.0.1/24 dev kw1")
    lab.host.ip("link set kw1 up")
    lab.host.ip("route add 10.70.0.0/16 via 10.61.0.2")
    with lab.host.entered():
        shown = {(route.interface, str(route.network)) for route in known.routes()}
    assert ("kw1", "10.70.0.0/16") in shown
    assert ("kw1", "10.61.0.0/24") not in shown
    known.close()
