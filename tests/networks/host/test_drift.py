"""What others break is told once; a repair ends what is not allowed and nothing else."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kvmweb.host.post import DRIFTED, Outbox
from kvmweb.host.store import SpecStore
from networks.host.drift import DriftNews
from networks.host.reconcile import Drift, NetworkReconciler
from networks.host.spec import NetworkSpec
from networks.host.tasks import KIND, restore
from networks.host.watch import Watcher
from tests.netns import eventually
from tests.networks.host.lab import (
    OUTSIDE,
    PUBLIC,
    Lab,
    assert_converges,
    forward,
    network,
    with_forwards,
)

SUBJECT = network(1).subject


class Kept(list[dict[str, Any]]):
    """What an outbox holds, as it would be sent."""

    def __call__(self, task: str, payload: Any, /) -> None:
        assert task == DRIFTED
        self.append(payload)


def told(folder: Path) -> Kept:
    kept = Kept()
    Outbox(folder).drain(kept)
    return kept


@pytest.mark.pure
def test_a_difference_that_stays_is_told_once_and_then_that_it_is_over(tmp_path: Path) -> None:
    outbox, record = tmp_path / "outbox", tmp_path / "drift.json"
    news = DriftNews(Outbox(outbox), record)
    first = Drift(SUBJECT, ("Created bridge kw1",), repaired=False, only_told=True)
    news.tell(first)
    news.tell(replace(first, again=True))
    news.over(frozenset({SUBJECT}))
    (message,) = told(outbox)
    assert message["missing"] == ["Created bridge kw1"]
    assert (message["repaired"], message["only_told"]) == (False, True)

    news.tell(replace(first, again=True, missing=("Switched bridge kw1 on",)))
    assert [one["missing"] for one in told(outbox)] == [["Switched bridge kw1 on"]]
    news = DriftNews(Outbox(outbox), record)  # a new process knows what was told
    news.over(frozenset())
    news.over(frozenset())
    (message,) = told(outbox)
    assert (message["missing"], message["repaired"]) == ([], True)
    assert json.loads(record.read_text()) == {}


@pytest.mark.pure
def test_what_was_repaired_is_told_every_time(tmp_path: Path) -> None:
    news = DriftNews(Outbox(tmp_path / "outbox"), tmp_path / "drift.json")
    for _ in range(2):
        news.tell(Drift(SUBJECT, ("Switched bridge kw1 on",), repaired=True))
    news.over(frozenset())
    assert [one["repaired"] for one in told(tmp_path / "outbox")] == [True, True]


@contextmanager
def watched(lab: Lab, spec: NetworkSpec) -> Iterator[NetworkReconciler]:
    """A worker that tells into an outbox."""
    news = DriftNews(Outbox(lab.folder / "outbox"), lab.folder / "drift.json")
    with lab.reconciler() as reconciler:
        assert_converges(reconciler, spec)
        with lab.host.entered():
            watcher = Watcher(reconciler, news.tell, news.over)
            watcher.start()
        try:
            yield reconciler
        finally:
            watcher.close()


@pytest.mark.kernel
def test_a_network_that_is_not_to_be_repaired_is_left_and_told(lab: Lab) -> None:
    spec = replace(network(1, source=None), repairs=False)
    with watched(lab, spec) as reconciler:
        lab.host.ip("address del 10.61.0.1/24 dev kw1")
        (message,) = eventually(lambda: told(lab.folder / "outbox"))
        assert message["missing"][0] == "Gave bridge kw1 the address 10.61.0.1/24"
        assert message["only_told"]
        assert reconciler.check(spec)
        (bridge,) = lab.host.ip("address show dev kw1")
        assert bridge["addr_info"] == []

        assert reconciler.apply(spec, lambda _: None).ok
        assert reconciler.check(spec) == ()


@pytest.mark.kernel
def test_a_worker_that_starts_again_leaves_it_too_unless_all_is_gone(lab: Lab) -> None:
    spec = replace(network(1, source=None), repairs=False)
    store = SpecStore(lab.folder / "specs", KIND, NetworkSpec)
    store.accept(spec)
    lab.apply(spec)
    lab.host.ip("address del 10.61.0.1/24 dev kw1")
    with lab.reconciler() as reconciler:
        assert restore(store, reconciler) == []
        assert [drift.only_told for drift in reconciler.repair()] == [True]
        assert reconciler.check(spec)
    lab.host.ip("link delete kw1")
    with lab.reconciler() as reconciler:
        assert [outcome.ok for outcome in restore(store, reconciler)] == [True]
        assert reconciler.check(spec) == ()


@pytest.mark.kernel
def test_a_repair_ends_what_was_made_in_the_hole_and_nothing_else(lab: Lab) -> None:
    """Another table keeps translations alive while ours are gone: what is set up meanwhile is
    judged by nobody."""
    spec = network(1, source=None)
    other = network(2, guests=1, source=None)
    guest, neighbour = (lab.guest(each.reservations[0], each) for each in (spec, other))
    for server in (guest, neighbour, lab.internet):
        server.tcp_server(80)
    lab.host.tcp_server(2222)
    lab.host.nft("add table inet other")
    for hook in ("prerouting", "output", "postrouting"):
        lab.host.nft(f"add chain inet other {hook} {{ type nat hook {hook} priority 0 ; }}")
    lab.internet.ip(f"route add 10.0.0.0/8 via {PUBLIC}")
    with lab.reconciler() as reconciler:
        assert_converges(reconciler, other)
        assert_converges(reconciler, with_forwards(spec, forward(1, 1, spec.reservations[0])))
        allowed = {
            "through the forward": lab.internet.connect(PUBLIC, 8080),
            "out": guest.connect(OUTSIDE, 80),
            "from the host": lab.host.connect(spec.reservations[0].address, 80),
        }
        for connection in allowed.values():
            assert connection.recv(100)
        reconciler.release()
        for family in ("inet", "bridge"):
            lab.host.run("nft", "delete", "table", family, "kvmweb")
        made_in_the_hole = {
            "straight in": lab.internet.connect(spec.reservations[0].address, 80),
            "to another network": guest.connect(other.reservations[0].address, 80),
            "out untranslated": guest.connect(OUTSIDE, 80),
            "to the host": guest.connect("10.61.0.1", 2222),
        }
        for connection in made_in_the_hole.values():
            assert connection.recv(100)
        assert {drift.repaired for drift in reconciler.repair()} == {True}
        alive = {
            name
            for name, connection in (allowed | made_in_the_hole).items()
            if _echoes(connection, 3.0 if name in allowed else 0.5)
        }
        for connection in (*allowed.values(), *made_in_the_hole.values()):
            connection.close()
    assert alive == set(allowed)


def _echoes(connection: socket.socket, seconds: float) -> bool:
    connection.settimeout(seconds)
    try:
        connection.sendall(b"still there")
        return connection.recv(100) == b"still there"
    except OSError:
        return False
