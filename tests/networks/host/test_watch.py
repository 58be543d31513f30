"""What others break is noticed and put right without being asked."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from networks.host.reconcile import Drift, NetworkReconciler
from networks.host.watch import Watcher
from tests.netns import eventually
from tests.networks.host.lab import (
    OUTSIDE,
    PUBLIC,
    Lab,
    absent,
    assert_converges,
    forward,
    network,
    with_forwards,
)

pytestmark = pytest.mark.kernel


@contextmanager
def watched(
    lab: Lab, *numbers: int, before: Callable[[], None] = lambda: None
) -> Iterator[tuple[NetworkReconciler, list[Drift]]]:
    """A host with networks, and a watcher that starts once they are made and `before` was done."""
    found: list[Drift] = []
    with lab.reconciler() as reconciler:
        for number in numbers:
            assert_converges(reconciler, network(number, source=None))
        before()
        with lab.host.entered():
            watcher = Watcher(reconciler, found.append)
            watcher.start()
        try:
            yield reconciler, found
        finally:
            watcher.close()


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (("ip", "link", "delete", "kw1"), "Created bridge kw1"),
        (("ip", "address", "flush", "dev", "kw1"), "Gave bridge kw1 the address 10.61.0.1/24"),
        (("ip", "link", "set", "kw1", "down"), "Switched bridge kw1 on"),
        (
            ("sysctl", "-q", "net.ipv4.conf.up0.forwarding=0"),
            "Let uplink up0 pass on packets of guests",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_damage_is_repaired_and_told(lab: Lab, damage: tuple[str, ...], sentence: str) -> None:
    with watched(lab, 1) as (reconciler, found):
        lab.host.run(*damage)
        assert eventually(lambda: bool(found))
        assert sentence in found[0].missing
        assert found[0].repaired
        assert reconciler.check(network(1, source=None)) == ()


def test_a_flush_of_tables_nobody_owns_is_repaired(lab: Lab) -> None:
    """As on kernels that know no owner: the tables were given up before the flush."""
    spec = network(1, source=None)
    with watched(lab, 1) as (reconciler, found):
        reconciler.release()
        lab.host.run("nft", "flush", "ruleset")
        assert eventually(lambda: bool(found))
        assert "Loaded the firewall rules of the host" in found[0].missing
        assert reconciler.check(spec) == ()


def test_a_dead_dnsmasq_is_started_again(lab: Lab) -> None:
    with watched(lab, 1) as (_, found):
        (pid,) = lab.host.pids()
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: bool(found))
        assert found[0].missing == ("Started the DHCP service",)
        assert lab.host.pids() not in ([], [pid])


def test_a_dnsmasq_that_died_before_anybody_watched_is_started_again(lab: Lab) -> None:
    def kill() -> None:
        (pid,) = lab.host.pids()
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: lab.host.pids() == [])

    with watched(lab, 1, before=kill) as (_, found):
        assert eventually(lambda: bool(found))
        assert found[0].missing == ("Started the DHCP service",)


def test_only_the_network_that_was_broken_is_told(lab: Lab) -> None:
    with watched(lab, 1, 2) as (_, found):
        lab.host.ip("link delete kw2")
        assert eventually(lambda: bool(found))
        assert {drift.subject for drift in found} == {network(2).subject}


def test_our_own_changes_are_no_drift(lab: Lab) -> None:
    """The damage at the end is the first that is told."""
    spec = network(1, source=None)
    with watched(lab, 1, 2) as (reconciler, found):
        for port in (8000, 8001):
            changed = with_forwards(spec, forward(1, 1, spec.reservations[0], public_port=port))
            assert_converges(reconciler, changed)
        assert_converges(reconciler, replace(spec, mtu=1400))
        assert_converges(reconciler, absent(spec))
        lab.host.ip("link delete kw2")
        assert eventually(lambda: bool(found))
        assert {drift.subject for drift in found} == {network(2).subject}


def test_a_guest_port_that_is_being_made_is_left_to_its_maker(lab: Lab) -> None:
    with watched(lab, 1) as (reconciler, _):
        lab.host.ip("link add kt12 type veth peer name other")
        assert reconciler.repair() == []
        lab.host.ip("link set kt12 up")
        assert eventually(lambda: lab.host.ip("link show dev kt12")[0].get("master") == "kw1")


def test_a_forward_that_was_refused_is_no_drift(lab: Lab) -> None:
    spec = network(1, source=None)
    lab.host.tcp_server(8080)
    with watched(lab, 1) as (reconciler, found):
        refused = forward(1, 1, spec.reservations[0])
        outcome = reconciler.apply(with_forwards(spec, refused), lambda _: None)
        assert list(outcome.attention) == [refused.id]
        assert reconciler.repair() == []
        assert found == []


def test_traffic_flows_again_a_second_after_the_bridge_was_deleted(lab: Lab) -> None:
    spec = network(1, source=None)
    guest = lab.guest(spec.reservations[0], spec)
    guest.tcp_server(80)
    with watched(lab, 1) as (reconciler, _):
        assert_converges(reconciler, with_forwards(spec, forward(1, 1, spec.reservations[0])))
        assert lab.internet.ask_tcp(PUBLIC, 8080) == OUTSIDE
        lab.host.ip("link delete kw1")
        assert eventually(lambda: lab.internet.ask_tcp(PUBLIC, 8080, 0.5) == OUTSIDE)


def test_our_own_changes_have_nothing_else_looked_at(lab: Lab) -> None:
    """Or every network that is made would have all others looked at."""
    found: list[Drift] = []
    looks: list[frozenset[str]] = []
    with lab.reconciler() as reconciler:
        assert_converges(reconciler, network(1, source=None))
        with lab.host.entered():
            watcher = Watcher(reconciler, found.append, looks.append)
            watcher.start()
        try:
            for number in (2, 3):
                assert_converges(reconciler, network(number, source=None))
            lab.host.run("ip", "link", "set", "kw2", "down")
            assert eventually(lambda: bool(found))
        finally:
            watcher.close()
    assert looks == []


OTHERS_DO = {
    "a port is taken from its bridge": "ip link set kt12 nomaster",
    "a bridge passes on no more": "sysctl -q net.ipv4.conf.kw1.forwarding=0",
    "an entry is deleted": 'nft "delete element inet kvmweb egress { kw1 }"',
    "a rule is added": "nft insert rule inet kvmweb forward drop",
    "a table is deleted": "nft delete table bridge kvmweb",
}


def test_whatever_others_change_is_noticed_told_and_put_right(lab: Lab) -> None:
    """With tables that nobody owns, as on kernels that know no owner."""
    spec = network(1, source=None)
    found: list[Drift] = []
    with lab.reconciler() as reconciler:
        lab.cable(spec.reservations[0])
        assert_converges(reconciler, spec)
        with lab.host.entered():
            watcher = Watcher(reconciler, found.append)
            watcher.start()
        try:
            for what, command in OTHERS_DO.items():
                reconciler.release()
                found.clear()
                lab.host.run("sh", "-c", command)
                assert eventually(lambda: bool(found), 30), what
                assert found[0].missing, what
                assert eventually(lambda: reconciler.check(spec) == (), 30), what
        finally:
            watcher.close()
