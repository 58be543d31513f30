"""What fifty thousand forwards cost: new connections, one more forward, one changed network."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

from networks.host.contents import elements
from networks.host.drivers.firewall import Firewall
from tests.bench.measure import Figure, Goal
from tests.bench.nat import world
from tests.bench.nat.world import FIRST_PORT, PORT
from tests.netns import Namespace
from tests.networks.host.lab import PUBLIC, Lab
from tests.traffic import accepting, connect

MANY, FEW = 50_000, 1_000
RUNS = 5
SECONDS = 0.6
UPDATES = 200
IPTABLES_UPDATES = 7


def figures() -> Iterator[Figure]:
    yield from many_forwards()
    yield one_changed_network()


def many_forwards() -> Iterator[Figure]:
    """Hosts with one forward, with many, and with as many rules of iptables, in turn."""
    with ExitStack() as stack:
        one = _ours(stack, 1)
        few = _ours(stack, FEW)
        many = _ours(stack, MANY)
        theirs = _by_iptables(stack, MANY)
        rates: dict[Lab, list[float]] = {one: [], many: [], theirs: []}
        for _ in range(RUNS):
            for lab, found in rates.items():
                count = 1 if lab is one else MANY
                found.append(connect(lab.internet, PUBLIC, FIRST_PORT, count, SECONDS).rate)
        yield Figure(
            group="nat",
            name=f"new connections through {MANY:,} forwards; through one",
            unit="/s",
            ours=rates[many],
            alternative=rates[one],
            goal=Goal(kind="ratio", limit=0.95, at_least=True),
        )
        yield Figure(
            group="nat",
            name=f"new connections through {MANY:,} forwards; one iptables-nft rule each",
            unit="/s",
            ours=rates[many],
            alternative=rates[theirs],
            goal=Goal(kind="ratio", limit=6, at_least=True),
        )
        for lab, count in ((few, FEW), (many, MANY)):
            yield Figure(
                group="nat",
                name=f"kernel update for one more at {count:,} forwards; iptables-nft -A",
                unit="ms",
                ours=_updates(lab, count),
                alternative=_iptables_updates(theirs.host) if lab is many else (),
                goal=Goal(kind="median", limit=0.2),
            )


def _ours(stack: ExitStack, forwards: int) -> Lab:
    lab = stack.enter_context(world.lab())
    spec = world.network(0, forwards)
    _serve(stack, lab.guest(spec.reservations[0], spec))
    with lab.reconciler() as reconciler:
        world.applied(reconciler, spec)
    return lab


def _by_iptables(stack: ExitStack, rules: int) -> Lab:
    lab = stack.enter_context(world.lab())
    _serve(stack, world.plain_router(lab))
    lines = [_rule(FIRST_PORT + number) for number in range(rules)]
    text = "\n".join(["*nat", *(f"-A {line}" for line in lines), "COMMIT", ""])
    lab.host.run("iptables-nft-restore", stdin=text)
    return lab


def _serve(stack: ExitStack, guest: Namespace) -> None:
    stack.enter_context(accepting(guest, PORT))


def _rule(port: int) -> str:
    match = f"PREROUTING -d {PUBLIC} -p tcp --dport {port}"
    return f"{match} -j DNAT --to-destination {world.GUEST}:{PORT}"


def _updates(lab: Lab, there: int) -> list[float]:
    """One transaction of the product's driver for each forward, with what it reads back."""
    spec = world.network(0)
    taken = []
    with lab.host.entered():
        firewall = Firewall(lab.paths.run / "nftables.json")
        firewall.claim()
        firewall.observe()
        for number in range(there, there + UPDATES):
            one = replace(spec, forwards=(world.forward(number, spec.reservations[0]),))
            added = elements(one) - elements(spec)
            begun = time.perf_counter()
            refused = firewall.change(added, ())
            taken.append((time.perf_counter() - begun) * 1000)
            assert refused == {}
        firewall.close()
    return taken


def _iptables_updates(host: Namespace) -> list[float]:
    taken = []
    for number in range(IPTABLES_UPDATES):
        words = ("iptables-nft", "-t", "nat", "-A", *_rule(FIRST_PORT + MANY + number).split())
        begun = time.perf_counter()
        host.run(*words)
        taken.append((time.perf_counter() - begun) * 1000)
    return taken


def one_changed_network() -> Figure:
    """Plan and apply one more forward on a host with 50 networks of 200 forwards."""
    networks, each = 50, 200
    taken = []
    with world.lab() as lab, lab.reconciler() as reconciler:
        specs = [world.network(number, each, guests=10) for number in range(networks)]
        for spec in specs:
            world.applied(reconciler, spec)
        for number, spec in enumerate(specs[:20]):
            more = world.forward(networks * each + number, spec.reservations[0])
            changed = replace(spec, generation=2, forwards=(*spec.forwards, more))
            begun = time.perf_counter()
            world.applied(reconciler, changed)
            taken.append((time.perf_counter() - begun) * 1000)
    return Figure(
        group="nat",
        name=f"plan and apply one more forward, {networks} networks, {networks * each:,} forwards",
        unit="ms",
        ours=taken,
        goal=Goal(kind="median", limit=20),
    )
