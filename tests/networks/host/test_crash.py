"""A worker that dies after any op: the next one brings the network to its spec."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from dataclasses import replace

import pytest

from kvmweb.host.progress import silent
from networks.host.ops import Op
from networks.host.spec import EgressSpec, NamesSpec, NetworkSpec, PeerSpec
from tests.netns import ask
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


class Stop(BaseException):
    """What a test throws to stop an apply where it is."""


def stopper(at: int, stop: Callable[[], None]) -> Callable[[Op], None]:
    """An `after_op` that calls `stop` after op number `at`."""
    done = 0

    def after_op(op: Op) -> None:
        nonlocal done
        done += 1
        if done == at:
            stop()

    return after_op


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed(lab: Lab, spec: NetworkSpec, at: int) -> bool:
    """Apply in a process that is killed after op `at`; False when it had fewer ops."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with lab.reconciler(after_op=stopper(at, die)) as reconciler:
                code = 0 if reconciler.apply(spec, silent).ok else 1
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


def stopped(lab: Lab, spec: NetworkSpec, at: int) -> bool:
    """Apply with an exception after op `at`; False when it had fewer ops."""

    def stop() -> None:
        raise Stop

    with lab.reconciler(after_op=stopper(at, stop)) as reconciler:
        try:
            assert reconciler.apply(spec, silent).ok
        except Stop:
            return True
    return False


def full(lab: Lab) -> tuple[NetworkSpec, NetworkSpec]:
    """A network with two forwards, and the same after both moved and a guest left."""
    spec = replace(network(guests=3), names=NamesSpec(domain="net1.internal"))
    first, second, _ = spec.reservations
    before = with_forwards(
        spec,
        forward(1, 1, first),
        forward(1, 2, first, protocol="udp", public_port=8007, port=7),
    )
    after = replace(
        with_forwards(
            spec,
            forward(1, 1, second),
            forward(1, 3, second, protocol="udp", public_port=8007, port=7),
        ),
        source_address=None,
        egress=(EgressSpec(cidr="10.9.0.0/16", protocol="tcp", first_port=1, last_port=9),),
        peers=(PeerSpec(bridge="kw2", subnet="10.62.0.0/24"),),
        guests_apart=True,
        mtu=9000,
        reservations=(first, second),
    )
    lab.cable(first)
    return before, after


@pytest.mark.parametrize("interrupt", [killed, stopped])
def test_creating_survives_a_crash_after_any_op(
    lab: Lab, interrupt: Callable[[Lab, NetworkSpec, int], bool]
) -> None:
    spec, _ = full(lab)
    at = 1
    while interrupt(lab, spec, at):
        with lab.reconciler() as reconciler:
            assert_converges(reconciler, spec)
            reconciler.remove_all()
        assert lab.host.pids() == []
        at += 1
    assert at > 10


@pytest.mark.parametrize("interrupt", [killed, stopped])
def test_changing_survives_a_crash_after_any_op(
    lab: Lab, interrupt: Callable[[Lab, NetworkSpec, int], bool]
) -> None:
    before, after = full(lab)
    at = 1
    lab.apply(before)
    while interrupt(lab, after, at):
        lab.apply(after)
        lab.apply(before)
        at += 1
    assert at > 4


@pytest.mark.parametrize("interrupt", [killed, stopped])
def test_removing_survives_a_crash_after_any_op(
    lab: Lab, interrupt: Callable[[Lab, NetworkSpec, int], bool]
) -> None:
    spec, _ = full(lab)
    other = network(2)
    lab.apply(other)
    at = 1
    lab.apply(spec)
    while interrupt(lab, absent(spec), at):
        lab.apply(absent(spec))
        assert "kw1" not in lab.host.run("nft", "list", "ruleset")
        assert "kw1" not in lab.host.run("ip", "link")
        assert not list(lab.paths.run.glob("*/*/kw1*"))
        lab.apply(spec)
        at += 1
    assert at > 4
    with lab.reconciler() as reconciler:
        assert reconciler.check(other) == ()


def test_connections_of_a_removed_forward_end_though_the_worker_died(lab: Lab) -> None:
    """Killed between the removal of the rule and the end of the connections."""
    spec = network(guests=1)
    target = spec.reservations[0]
    guest = lab.guest(target, spec)
    guest.tcp_server(80)
    lab.apply(with_forwards(spec, forward(1, 1, target)))
    with lab.internet.connect(PUBLIC, 8080) as connection:
        connection.settimeout(1)
        assert connection.recv(100).decode() == OUTSIDE
        assert killed(lab, spec, 1)
        connection.sendall(b"still")
        assert connection.recv(100) == b"still"
        lab.apply(spec)
        assert not _echoes(connection)


def test_clients_of_a_new_udp_forward_move_though_the_worker_died(lab: Lab) -> None:
    spec = network(guests=1)
    target = spec.reservations[0]
    guest = lab.guest(target, spec)
    guest.udp_server(7)
    lab.apply(spec)
    changed = with_forwards(spec, forward(1, 1, target, protocol="udp", public_port=8007, port=7))
    with lab.internet.udp_socket() as client:
        client.settimeout(0.2)
        client.sendto(b"early", (PUBLIC, 8007))
        assert killed(lab, changed, 1)
        lab.apply(changed)
        assert ask(client, PUBLIC, 8007) == OUTSIDE


def test_connections_a_list_no_longer_has_end_though_the_worker_died(lab: Lab) -> None:
    spec = network(guests=1)
    guest = lab.guest(spec.reservations[0], spec)
    for port in (80, 443):
        lab.internet.tcp_server(port)
    lab.apply(spec)
    web = EgressSpec(cidr="0.0.0.0/0", protocol="tcp", first_port=80, last_port=80)
    narrowed = replace(spec, egress=(web,))
    with guest.connect(OUTSIDE, 80) as kept, guest.connect(OUTSIDE, 443) as ended:
        for connection in (kept, ended):
            connection.settimeout(5)
            assert connection.recv(100)
        assert killed(lab, narrowed, 1)
        assert _echoes(ended)
        lab.apply(narrowed)
        assert _echoes(kept)
        ended.settimeout(1)
        assert not _echoes(ended)


def _echoes(connection: socket.socket) -> bool:
    try:
        connection.sendall(b"more")
        return connection.recv(100) == b"more"
    except OSError:
        return False
