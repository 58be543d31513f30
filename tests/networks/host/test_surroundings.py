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
