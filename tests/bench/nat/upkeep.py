"""What others do to the firewall meanwhile, and looking after connections."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from queue import SimpleQueue

from networks.host.contents import elements, host_elements
from networks.host.drivers import flowtable
from networks.host.drivers.flows import Flows
from networks.host.ops import EndFlows
from networks.host.reconcile import Drift
from networks.host.ruleset import document
from networks.host.watch import Watcher
from tests.bench.measure import Figure, Goal
from tests.bench.nat import world
from tests.bench.nat.world import FIRST_PORT, PORT
from tests.netns import Namespace
from tests.networks.host.lab import OUTSIDE, PUBLIC, Lab
from tests.traffic import count_udp, sending_udp

FORWARDS = 1_000
RATE = 15_000
FLUSHES = 6
RUNS = 5
TRACKED = 100_000
OF_ONE = 100


def figures() -> Iterator[Figure]:
    yield flushes()
    yield repairs()
    yield from connections()


def flushes() -> Figure:
    """Packets lost by each flush: of tables that are owned; of such that a script loads again."""
    spec = world.with_udp(world.network(0, FORWARDS))
    with world.lab() as lab, world.lab() as other:
        with lab.reconciler() as reconciler:
            world.applied(reconciler, spec)
            ours = _lost(lab, lambda: lab.host.run("nft", "flush", "ruleset"))
        with other.reconciler() as reconciler:
            world.applied(reconciler, spec)
        file = other.folder / "ruleset.nft"
        file.write_text(document(elements(spec) | host_elements(["up0"], [])))

        def again() -> None:
            other.host.run("nft", "flush", "ruleset")
            other.host.run("nft", "-f", str(file))

        theirs = _lost(other, again)
    return Figure(
        group="nat",
        name=f"packets lost by a foreign flush at {RATE:,}/s; reload by script",
        unit="",
        ours=ours,
        alternative=theirs,
        goal=Goal(kind="median", limit=0),
    )


def _lost(lab: Lab, damage: Callable[[], object]) -> list[float]:
    spec = world.network(0)
    guest = lab.guest(spec.reservations[0], spec)
    lab.host.ip("link set kt0x0 master kw0")
    found = []
    for _ in range(FLUSHES):
        counter = count_udp(guest, PORT)
        sender = sending_udp(lab.internet, PUBLIC, FIRST_PORT, RATE)
        time.sleep(0.2)
        damage()
        time.sleep(0.1)
        sent = sender.end()
        found.append(float(sent - counter.received()))
    lab.host.ip("link delete kt0x0")
    return found


def repairs() -> Figure:
    """Milliseconds from a flush of tables that nobody owns until all is back."""
    spec = world.network(0, FORWARDS)
    taken = []
    with world.lab() as lab, lab.reconciler() as reconciler:
        world.applied(reconciler, spec)
        told: SimpleQueue[Drift] = SimpleQueue()
        with lab.host.entered():
            watcher = Watcher(reconciler, told.put)
            watcher.start()
        try:
            for _ in range(RUNS):
                reconciler.release()
                begun = time.perf_counter()
                lab.host.run("nft", "flush", "ruleset")
                assert told.get(timeout=60).repaired
                taken.append((time.perf_counter() - begun) * 1000)
                time.sleep(1.0)
        finally:
            watcher.close()
    return Figure(
        group="nat",
        name=f"tables that nobody owns flushed, until {FORWARDS:,} forwards are back",
        unit="ms",
        ours=taken,
        goal=Goal(kind="median", limit=105),
    )


def connections() -> Iterator[Figure]:
    """List and end the connections of one forward among a hundred thousand."""
    spec = world.network(0, 100)
    target = spec.reservations[0]
    # To another port of the guest, or the same client's replies could not be told apart.
    crowded = replace(world.forward(1, target, "udp"), port=PORT + 1)
    udp = (world.forward(0, target, "udp"), crowded)
    number = udp[0].number
    with world.lab() as lab:
        with lab.reconciler() as reconciler:
            world.applied(reconciler, replace(spec, forwards=(*spec.forwards, *udp)))
        lab.guest(spec.reservations[0], spec)
        lab.host.ip("link set kt0x0 master kw0")
        lab.host.sysctl("netfilter/nf_conntrack_udp_timeout", "600")
        _track(lab.internet, FIRST_PORT + 1, TRACKED)
        with lab.host.entered():
            flows = Flows()
        listed, ended = _Turns(lab), _Turns(lab)
        for _ in range(RUNS):
            listed.turn(lambda: _list(lab, number), "-L")
            ended.turn(lambda: flows.end(EndFlows(numbers=frozenset({number}))), "-D")
        flows.close()
    yield listed.figure("list")
    yield ended.figure("end")


class _Turns:
    """Ours and conntrack's in turn, each with connections that were made anew."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._ours: list[float] = []
        self._theirs: list[float] = []

    def turn(self, ours: Callable[[], object], option: str) -> None:
        theirs = ("conntrack", option, "-d", PUBLIC, *_ORIGINAL)
        for call, taken in (
            (ours, self._ours),
            (lambda: self._lab.host.run(*theirs), self._theirs),
        ):
            _track(self._lab.internet, FIRST_PORT, OF_ONE)
            begun = time.perf_counter()
            call()
            taken.append((time.perf_counter() - begun) * 1000)

    def figure(self, verb: str) -> Figure:
        return Figure(
            group="nat",
            name=f"{verb} the connections of one forward among {TRACKED:,}; conntrack by port",
            unit="ms",
            ours=self._ours,
            alternative=self._theirs,
            goal=Goal(kind="median", limit=60),
        )


def _list(lab: Lab, number: int) -> None:
    with lab.host.entered():
        found = [flowtable.decoded(each) for each in flowtable.of_forward(number)]
    assert len(found) == OF_ONE, len(found)


_ORIGINAL = ("-p", "udp", "--orig-port-dst", str(FIRST_PORT))


def _track(internet: Namespace, port: int, count: int) -> None:
    """The first packets of so many UDP connections, from as many places of the internet."""
    with internet.entered():
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    target = IPv4Address(PUBLIC).packed
    with raw:
        for number in range(count):
            source = IPv4Address(OUTSIDE).packed if number == 0 else _source(number)
            udp = struct.pack(">HHHH", 1024 + number % 60_000, port, 8, 0)
            ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 28, 0, 0, 64, 17, 0, source, target)
            raw.sendto(ip + udp, (PUBLIC, 0))


def _source(number: int) -> bytes:
    return IPv4Address(f"198.51.100.{100 + number // 60_000}").packed
