"""What a packet costs under the full ruleset, in and out; and a TCP stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

from tests.bench.measure import Figure, Goal
from tests.bench.nat import world
from tests.bench.nat.world import FIRST_PORT, GUEST, PORT
from tests.netns import Namespace
from tests.networks.host.lab import OUTSIDE, PUBLIC, Lab
from tests.traffic import count_udp, send_udp, stream, swallowing

RUNS = 7
PACKETS = 100_000
SECONDS = 0.6
STREAM_PORT = 81


class _Path:
    """A host with a guest, and where the internet finds it."""

    def __init__(self, stack: ExitStack, lab: Lab, guest: Namespace, address: str, port: int):
        self.lab, self.guest, self.address, self.port = lab, guest, address, port
        for at in (guest, lab.internet):
            at.udp_server(PORT)
            stack.enter_context(swallowing(at, STREAM_PORT))
        assert lab.internet.ask_udp(address, port)
        assert guest.ask_udp(OUTSIDE, PORT)
        for at in (guest, lab.internet):
            at.close_servers()
            stack.callback(count_udp(at, PORT).received)

    def inward(self) -> float:
        return send_udp(self.lab.internet, self.address, self.port, PACKETS).cost

    def outward(self) -> float:
        return send_udp(self.guest, OUTSIDE, PORT, PACKETS).cost

    def stream(self) -> float:
        """Gbit/s of TCP out of the guest."""
        return stream(self.guest, OUTSIDE, STREAM_PORT, SECONDS).rate * 8 / 1e9


def figures() -> Iterator[Figure]:
    with ExitStack() as stack:
        ours, plain = _ours(stack, 1), _plain(stack)
        crowded, behind = _ours(stack, 200), _ours(stack, 1, transit="100.64.0.0/24")
        inward: tuple[list[float], list[float]] = [], []
        outward: tuple[list[float], list[float]] = [], []
        streams: tuple[list[float], list[float]] = [], []
        many, routed = [], []
        for _ in range(RUNS):
            for path, at in ((ours, 0), (plain, 1)):
                inward[at].append(path.inward())
                outward[at].append(path.outward())
                streams[at].append(path.stream())
            many.append(crowded.outward())
            routed.append(behind.outward())
        yield _figure("CPU per small packet, full ruleset, in; plain routing", inward, 1.4)
        yield _figure("CPU per small packet, full ruleset, out; plain routing", outward, 1.5)
        yield Figure(
            group="nat",
            name="one TCP stream out, full ruleset; plain routing",
            unit="Gbit/s",
            ours=streams[0],
            alternative=streams[1],
            goal=Goal(kind="ratio", limit=0.9, at_least=True),
        )
        name = "CPU per small packet out, 200 networks; our own with one"
        yield _figure(name, (many, outward[0]), 1.05)
        yield Figure(
            group="nat",
            name="CPU per small packet out, through a router of its own; source NAT alone",
            unit="µs",
            ours=routed,
            alternative=outward[0],
        )


def _figure(name: str, runs: tuple[list[float], list[float]], limit: float) -> Figure:
    ours, alternative = runs
    goal = Goal(kind="ratio", limit=limit)
    return Figure(group="nat", name=name, unit="µs", ours=ours, alternative=alternative, goal=goal)


def _ours(stack: ExitStack, networks: int, transit: str = "") -> _Path:
    lab = stack.enter_context(world.lab())
    spec = replace(world.with_udp(world.network(0, 1)), transit=transit)
    guest = lab.guest(spec.reservations[0], spec)
    with lab.reconciler() as reconciler:
        for number in range(1, networks):
            world.applied(reconciler, world.network(number, 1))
        world.applied(reconciler, spec)
    return _Path(stack, lab, guest, PUBLIC, FIRST_PORT)


def _plain(stack: ExitStack) -> _Path:
    lab = stack.enter_context(world.lab())
    return _Path(stack, lab, world.plain_router(lab), GUEST, PORT)
