"""Live streams across changes to other forwards and across repairs: nobody is cut off."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

from kvmweb.host.progress import silent
from networks.host.reconcile import Drift, NetworkReconciler
from networks.host.spec import ForwardSpec, NetworkSpec
from networks.host.watch import Watcher
from tests.netns import Namespace, eventually
from tests.networks.host.lab import OUTSIDE, PUBLIC, Lab, forward, network, with_forwards
from tests.traffic import count_udp, sending_udp

pytestmark = pytest.mark.kernel

CONNECTIONS = 20
RATE = 5_000
CHANGES, AT_ONCE = 1_000, 20
SECONDS = 30.0


class Streams:
    """TCP connections and a stream of UDP packets, through two forwards and out of a guest."""

    def __init__(self, stack: ExitStack, lab: Lab, guest: Namespace) -> None:
        for server in (guest, lab.internet):
            server.tcp_server(80)
        ways = [(lab.internet, PUBLIC, 8080), (guest, OUTSIDE, 80)]
        self._tcp = [
            stack.enter_context(source.connect(address, port))
            for source, address, port in ways
            for _ in range(CONNECTIONS // len(ways))
        ]
        for each in self._tcp:
            assert each.recv(100)
        self._counter = count_udp(guest, 7)
        self._sender = sending_udp(lab.internet, PUBLIC, 8007, RATE)
        self.alive()

    def alive(self) -> bool:
        """Whether every connection still answers."""
        for each in self._tcp:
            each.settimeout(SECONDS)
            each.sendall(b"there?")
        return all(_answers(each) for each in self._tcp)

    def lost(self) -> int:
        """End the packets; how many did not arrive."""
        sent = self._sender.end()
        assert sent > 0
        return sent - self._counter.received()


def _answers(connection: socket.socket) -> bool:
    """Acknowledged at once: an acknowledgement later on could meet a host without translations."""
    answer = connection.recv(100)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    return answer == b"there?"


def _spec() -> NetworkSpec:
    spec = network(1, guests=2)
    first = spec.reservations[0]
    return with_forwards(
        spec,
        forward(1, 1, first),
        forward(1, 2, first, protocol="udp", public_port=8007, port=7),
    )


@contextmanager
def streaming(lab: Lab) -> Iterator[tuple[NetworkReconciler, Streams]]:
    spec = _spec()
    with lab.reconciler() as reconciler, ExitStack() as stack:
        guest = lab.guest(spec.reservations[0], spec)
        assert reconciler.apply(spec, silent).ok
        yield reconciler, Streams(stack, lab, guest)


def _others(turn: int) -> Iterator[ForwardSpec]:
    """The forwards beside the two, some of which every turn adds, retargets and removes."""
    target = _spec().reservations[1]
    for number in range(turn * AT_ONCE // 2, (turn + 2) * AT_ONCE // 2):
        made = forward(1, 10 + number, target, public_port=9000 + number, port=turn + 1)
        yield replace(made, id=f"other-{number}", number=1000 + number)


def test_a_thousand_changes_of_other_forwards_are_not_noticed(lab: Lab) -> None:
    """Each turn adds ten forwards, removes ten and leads ten elsewhere."""
    with streaming(lab) as (reconciler, streams):
        spec = _spec()
        for turn in range(-(-CHANGES // (3 * AT_ONCE // 2))):
            changed = replace(spec, generation=10 + turn, forwards=(*spec.forwards, *_others(turn)))
            assert reconciler.apply(changed, silent).ok
            assert streams.alive()
        assert streams.lost() == 0


def test_a_flush_of_owned_tables_by_others_is_not_noticed(lab: Lab) -> None:
    with streaming(lab) as (_, streams):
        for _ in range(5):
            lab.host.run("nft", "flush", "ruleset")
            assert streams.alive()
        assert streams.lost() == 0


def _flush(lab: Lab, reconciler: NetworkReconciler) -> None:
    """As on kernels that know no owner. A connection that sends in the hole is reset by the host,
    for without any translation its packets are the host's own; these are idle."""
    reconciler.release()
    lab.host.run("nft", "flush", "ruleset")


def _bridge_gone(lab: Lab, _: NetworkReconciler) -> None:
    lab.host.ip("link delete kw1")


@pytest.mark.parametrize("damage", [_flush, _bridge_gone])
def test_connections_outlive_a_full_repair(
    lab: Lab,
    damage: Callable[[Lab, NetworkReconciler], None],
    record_property: Callable[[str, object], None],
) -> None:
    found: list[Drift] = []
    with streaming(lab) as (reconciler, streams):
        with lab.host.entered():
            watcher = Watcher(reconciler, found.append)
            watcher.start()
        damage(lab, reconciler)
        assert eventually(lambda: bool(found), SECONDS)
        watcher.close()
        assert found[0].repaired
        assert streams.alive()
        record_property("lost", streams.lost())
