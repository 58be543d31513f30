"""What programs wait for: a burst of forwards, two hundred networks, until all of it is live."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from networks.host.drivers.nftables import NftablesSocket
from tests.bench.measure import Figure, Goal
from tests.lab.host import LabHost
from tests.lab.lab import Lab
from tests.lab.panel import Client, Panel, panel_of

FORWARDS = 1_000
NETWORKS = 200
CLIENTS = 10
# The product's own: a lab that is in a hurry sends again what only waits in the host's queue.
PATIENCE = {"KVMWEB_JOB_LEASE": "45", "KVMWEB_SWEEP_INTERVAL": "15"}
CLAIMS = 1_000_000
PICKED = 20


def figures() -> Iterator[Figure]:
    """One panel with one host at work."""
    with Lab() as lab, panel_of(lab, **PATIENCE) as panel:
        olga = panel.add_operator("olga")
        yield from bursts(lab.h1, olga)
        yield networks(olga)
        yield picked(lab.h1, olga, panel)


def bursts(host: LabHost, olga: Client) -> Iterator[Figure]:
    """The same thousand forwards in one request, and one by one from several clients."""
    target = _reservation(host, olga, "bulk")
    begun = time.perf_counter()
    entries = [{"reservation": target, "target_port": 80}] * FORWARDS
    answer = olga.post("forwards/bulk/", {"forwards": entries})
    for job in answer["jobs"]:
        olga.succeed(job)
    bulk = time.perf_counter() - begun
    assert len(answer["forwards"]) == FORWARDS
    yield Figure(
        group="nat",
        name=f"{FORWARDS:,} forwards by one request until the last is live",
        unit="s",
        ours=[bulk],
        goal=Goal(kind="median", limit=5),
    )
    target = _reservation(host, olga, "single")
    before = _transactions(host)
    begun = time.perf_counter()
    clients = [Client(olga.url, olga.token) for _ in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        made = list(pool.map(lambda at: _one(clients[at % CLIENTS], target), range(FORWARDS)))
    asked = time.perf_counter() - begun
    for job in {each["job"] for each in made[-CLIENTS:]}:
        olga.succeed(job)
    single = time.perf_counter() - begun
    name = f"{FORWARDS:,} forwards one by one by {CLIENTS} clients"
    yield Figure(
        group="nat",
        name=f"{name} until the last is live; until the last is answered",
        unit="s",
        ours=[single],
        alternative=[asked],
    )
    yield Figure(
        group="nat",
        name=f"kernel transactions for {name}; requests",
        unit="",
        ours=[_transactions(host) - before],
        alternative=[FORWARDS],
        goal=Goal(kind="ratio", limit=1 / 20),
    )


def networks(olga: Client) -> Figure:
    """From the first request until the last of all jobs has ended."""
    begun = time.perf_counter()
    clients = [Client(olga.url, olga.token) for _ in range(4)]
    with ThreadPoolExecutor(len(clients)) as pool:
        made = list(pool.map(lambda at: _network(clients[at % 4], at), range(NETWORKS)))
    for each in made:
        olga.succeed(each["job"])
    return Figure(
        group="nat",
        name=f"{NETWORKS} networks by REST, all jobs done",
        unit="s",
        ours=[time.perf_counter() - begun],
        goal=Goal(kind="median", limit=20),
    )


def picked(host: LabHost, olga: Client, panel: Panel) -> Figure:
    """One more forward on a free port, before and after nearly all are held by others."""
    target = _reservation(host, olga, "picked")
    alone = [_picked(olga, target) for _ in range(PICKED)]
    panel.run("tests.bench.claims", str(CLAIMS))
    crowded = [_picked(olga, target) for _ in range(PICKED)]
    return Figure(
        group="nat",
        name=f"request for a forward on a free port, {CLAIMS:,} held by others; few held",
        unit="ms",
        ours=crowded,
        alternative=alone,
        goal=Goal(kind="ratio", limit=2),
    )


def _picked(olga: Client, target: str) -> float:
    begun = time.perf_counter()
    made = _one(olga, target)
    taken = (time.perf_counter() - begun) * 1000
    olga.succeed(made["job"])
    return taken


def _reservation(host: LabHost, olga: Client, name: str) -> str:
    """A reservation of a new network on the host."""
    hosts = {each["name"]: each["id"] for each in olga.get("hosts/")["results"]}
    network = olga.do("networks/", {"name": name, "host": hosts[host.name]})
    made = olga.do("reservations/", {"network": network["id"], "name": "guest"})
    return str(made["id"])


def _one(client: Client, target: str) -> Any:
    return client.post("forwards/", {"reservation": target, "target_port": 80})


def _network(client: Client, number: int) -> Any:
    return client.post("networks/", {"name": f"net-{number}"})


def _transactions(host: LabHost) -> int:
    """The number the kernel raises with each."""
    with host.namespace.entered():
        connection = NftablesSocket()
        try:
            return connection.generation()
        finally:
            connection.close()
