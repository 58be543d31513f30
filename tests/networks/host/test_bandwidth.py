"""Bandwidth limits of guests and networks, measured with streams of bytes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from networks.host.spec import NetworkSpec
from tests.netns import Namespace, eventually
from tests.networks.host.lab import OUTSIDE, Lab, absent, assert_converges, network

pytestmark = pytest.mark.kernel

MBIT = 125_000
SLOW = 16 * MBIT
_CHUNK = 65536


class Stream:
    """Bytes sent over TCP as fast as the kernel takes them, and counted where they arrive."""

    def __init__(self, sender: socket.socket, receiver: socket.socket) -> None:
        self.received = 0
        self._ends = (sender, receiver)
        self._threads = [
            threading.Thread(target=call, daemon=True) for call in (self._send, self._receive)
        ]
        for thread in self._threads:
            thread.start()

    def speed(self, amount: int) -> float:
        """Bytes per second over the next `amount` bytes, what was saved up before left out."""
        eventually(lambda: self.received > 0, 20)
        first, began = self.received, time.monotonic()
        assert eventually(lambda: self.received - first >= amount, 60)
        return (self.received - first) / (time.monotonic() - began)

    def close(self) -> None:
        for end in self._ends:
            end.close()
        for thread in self._threads:
            thread.join(5)

    def _send(self) -> None:
        data = bytes(_CHUNK)
        try:
            while True:
                self._ends[0].sendall(data)
        except OSError:
            return

    def _receive(self) -> None:
        try:
            while data := self._ends[1].recv(_CHUNK):
                self.received += len(data)
        except OSError:
            return


@contextmanager
def stream(sender: Namespace, receiver: Namespace, address: str) -> Iterator[Stream]:
    """A stream from one namespace to an address of another; `receiver` connects if it is inside."""
    with receiver.entered():
        listening = socket.create_server((address, 0))
    with listening:
        port = listening.getsockname()[1]
        out = sender.connect(address, port)
        there, _ = listening.accept()
    made = Stream(out, there)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def download(guest: Namespace, server: Namespace) -> Iterator[Stream]:
    """A stream from outside to a guest, which asked for it."""
    with server.entered():
        listening = socket.create_server((OUTSIDE, 0))
    with listening:
        there = guest.connect(OUTSIDE, listening.getsockname()[1])
        out, _ = listening.accept()
    made = Stream(out, there)
    try:
        yield made
    finally:
        made.close()


def slow(spec: NetworkSpec, **limits: int) -> NetworkSpec:
    """The network with limits for its first guest."""
    first, *others = spec.reservations
    limited = replace(first, **limits)  # type: ignore[arg-type]
    return replace(spec, reservations=(limited, *others))


Limited = Callable[[NetworkSpec], NetworkSpec]


@pytest.mark.parametrize("whose", ["guest", "network"])
def test_both_directions_are_limited_live_and_a_stream_goes_on(lab: Lab, whose: str) -> None:
    spec = network(guests=1)
    guest = lab.guest(spec.reservations[0], spec)

    def limited(**limits: int) -> NetworkSpec:
        return slow(spec, **limits) if whose == "guest" else replace(spec, **limits)  # type: ignore[arg-type]

    with lab.reconciler() as reconciler:
        assert_converges(reconciler, spec)
        with download(guest, lab.internet) as down, stream(guest, lab.internet, OUTSIDE) as up:
            assert down.speed(8 * SLOW) > 2 * SLOW
            assert_converges(reconciler, limited(max_down=SLOW))
            _saved_up(down)
            assert SLOW / 4 < down.speed(SLOW) < SLOW * 1.3
            assert up.speed(8 * SLOW) > 2 * SLOW
            assert_converges(reconciler, limited(max_up=SLOW))
            _saved_up(up)
            assert SLOW / 4 < up.speed(SLOW) < SLOW * 1.3
            assert down.speed(8 * SLOW) > 2 * SLOW
            assert_converges(reconciler, spec)
            assert up.speed(8 * SLOW) > 2 * SLOW


def _saved_up(stream: Stream) -> None:
    """Let go by what a limit admits at once when it is new: one second of it, and a packet."""
    first = stream.received
    assert eventually(lambda: stream.received - first > SLOW + 2 * _CHUNK, 60)


def test_neighbours_are_not_slowed_by_the_networks_limit_nor_by_each_others(lab: Lab) -> None:
    spec = network(guests=3)
    guests = [lab.guest(each, spec) for each in spec.reservations]
    lab.apply(replace(slow(spec, max_up=MBIT), max_up=MBIT, max_down=MBIT))
    with stream(guests[1], guests[2], spec.reservations[2].address) as free:
        assert free.speed(8 * SLOW) > 2 * SLOW


def test_a_port_that_is_made_anew_has_its_limit_and_a_removed_network_none(lab: Lab) -> None:
    spec = slow(network(guests=1), max_up=SLOW, max_down=SLOW)
    target = spec.reservations[0]
    first = lab.cable(target)
    lab.apply(spec)
    lab.host.ip(f"link delete {target.port}")
    first.close_servers()
    guest = lab.guest(target, spec)
    with lab.reconciler() as reconciler:
        assert_converges(reconciler, spec)
    with stream(guest, lab.internet, OUTSIDE) as up:
        _saved_up(up)
        assert up.speed(SLOW) < SLOW * 1.3
    (limit,) = _elements(lab, "guest_up")
    assert limit["val"] == target.port
    assert limit["limit"]["rate"] == SLOW
    lab.apply(absent(spec))
    assert _elements(lab, "guest_up") == []


def test_a_limit_that_somebody_lifted_is_put_back(lab: Lab) -> None:
    spec = slow(network(guests=1), max_down=SLOW)
    port = spec.reservations[0].port
    with lab.reconciler() as reconciler:
        assert_converges(reconciler, spec)
        reconciler.release()
        lab.host.run("nft", "delete", "element", "bridge", "kvmweb", "guest_down", f"{{ {port} }}")
        (drift,) = reconciler.repair()
        assert drift.missing == ("Changed bandwidth limits",)
        assert len(_elements(lab, "guest_down")) == 1


def _elements(lab: Lab, name: str) -> list[dict[str, Any]]:
    found = lab.host.nft(f"list set bridge kvmweb {name}")
    return [each["elem"] for each in found[1]["set"].get("elem", [])]
