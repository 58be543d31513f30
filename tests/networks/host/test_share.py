"""A guest has its share of the host's table of connections, and no guest more than that."""

from __future__ import annotations

import pytest

from networks.host import survey
from networks.host.ruleset import CONNECTIONS_PER_GUEST
from tests.networks.host.lab import OUTSIDE, PUBLIC, Lab, forward, network, with_forwards

pytestmark = pytest.mark.kernel


def tracked(lab: Lab) -> int:
    return int(lab.host.sysctl("netfilter/nf_conntrack_count"))


def test_a_guest_that_fills_its_share_takes_nothing_from_others(lab: Lab) -> None:
    spec = network(1, guests=2, source=None)
    greedy, modest = (lab.guest(each, spec) for each in spec.reservations)
    for server in (greedy, modest, lab.internet):
        server.tcp_server(80)
    lab.apply(with_forwards(spec, forward(1, 1, spec.reservations[0])))
    with greedy.connect(OUTSIDE, 80) as early:
        assert early.recv(100)
        with greedy.udp_socket() as sender:
            for port in range(10_000, 10_000 + CONNECTIONS_PER_GUEST + 500):
                sender.sendto(b"", (OUTSIDE, port))
        assert CONNECTIONS_PER_GUEST - 5 <= tracked(lab) <= CONNECTIONS_PER_GUEST + 5
        assert greedy.ask_tcp(OUTSIDE, 80, 0.4) == ""
        early.sendall(b"what there was goes on")
        assert early.recv(100) == b"what there was goes on"
    assert modest.ask_tcp(OUTSIDE, 80) == PUBLIC
    assert lab.internet.ask_tcp(PUBLIC, 8080) == OUTSIDE  # what others begin is not its share
    counted = lab.host.nft("list counter inet kvmweb too_many")[1]["counter"]["packets"]
    assert counted >= 400
    seen = lab.host.call(lambda: survey.look(lab.paths))
    assert seen.limited >= counted
