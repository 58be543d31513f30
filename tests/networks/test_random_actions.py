"""Whatever people ask for in whatever order: the kernel has exactly what the rows say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvmweb.core.errors import KvmwebError
from kvmweb.host.progress import silent
from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.projects.actions import Actor
from networks import actions
from networks.host.contents import elements
from networks.host.elements import Element
from networks.host.reconcile import NetworkReconciler
from networks.host.spec import NetworkSpec
from networks.models import Forward, Network, Reservation
from networks.spec_from_rows import build_spec, record
from tests.networks.host.lab import Lab

pytestmark = [pytest.mark.kernel, pytest.mark.django_db, pytest.mark.timeout(300)]

# Elements whose keys nft writes as they are; the keys of intervals are the business of
# `test_ranges` and `test_ways`.
PLAIN = {
    *("fwd4", "fwd4id", "acct_in", "acct_out", "max_conn", "max_rate", "restricted", "sifted"),
    *("src32", "src24", "snat4", "masq", "egress", "pairs", "settled", "own4", "own_mac"),
}
MAPS = {"fwd4", "fwd4id", "snat4"}
SAME = "10.60.0.0/24"  # what the first network gets, and all with a router of their own
PROTOCOLS = ["tcp", "udp", "tcp+udp"]
SOURCES = [[], ["198.51.100.1/32"], ["198.51.100.0/24", "203.0.113.7/32"]]

PICK = st.integers(0, 5)
STEPS = st.one_of(
    st.tuples(st.just("network"), PICK, st.sampled_from(["nat", "isolated"])),
    st.tuples(st.just("behind"), PICK, st.sampled_from(["nat", "isolated"])),
    st.tuples(st.just("guest"), PICK, st.none()),
    st.tuples(st.just("forward"), PICK, st.sampled_from(PROTOCOLS)),
    st.tuples(st.just("forward"), PICK, st.sampled_from(PROTOCOLS)),
    st.tuples(st.just("bulk"), PICK, st.sampled_from(PROTOCOLS)),
    st.tuples(st.just("retarget"), PICK, st.integers(1, 3)),
    st.tuples(st.just("restrict"), PICK, st.sampled_from(SOURCES)),
    st.tuples(st.just("limit"), PICK, st.integers(1, 3)),
    st.tuples(st.just("pause"), PICK, st.none()),
    st.tuples(st.just("resume"), PICK, st.none()),
    st.tuples(st.just("close"), PICK, st.none()),
    st.tuples(st.just("release"), PICK, st.none()),
    st.tuples(st.just("remove"), PICK, st.none()),
)
Step = tuple[str, int, Any]


class Panel:
    """Rows, and the host that follows them after every step."""

    def __init__(self, actor: Actor, lab: Lab, reconciler: NetworkReconciler) -> None:
        self.actor, self.lab, self.reconciler = actor, lab, reconciler
        self.made = 0

    def take(self, step: Step) -> None:
        """Ask for something; being refused is an answer too."""
        kind, at, option = step
        self.made += 1
        try:
            with transaction.atomic():
                self._ask(kind, at, option)
        except KvmwebError:
            return

    def _ask(self, kind: str, at: int, option: Any) -> None:
        actor, name = self.actor, f"n{self.made}"
        if kind == "network":
            actions.create_network(actor, name=name, mode=option)
        elif kind == "behind":
            actions.create_network(actor, name=name, mode=option, ipv4_subnet=SAME, own_router=True)
        elif kind == "guest" and (network := _one(Network, at)):
            actions.add_reservation(actor, network=network.uuid, name=name)
        elif kind in {"forward", "bulk"} and (guest := _one(Reservation, at)):
            wanted = {"reservation": guest.uuid, "target_port": 80, "protocol": option}
            actions.add_forwards(actor, [wanted] * (1 if kind == "forward" else 7))
        elif kind == "remove" and (network := _one(Network, at)):
            actions.delete_network(actor, network.uuid)
        elif kind == "release" and (guest := _one(Reservation, at)):
            actions.delete_reservation(actor, guest.uuid)
        elif forward := _one(Forward, at):
            self._change(kind, forward, option)

    def _change(self, kind: str, forward: Forward, option: Any) -> None:
        if kind == "retarget":
            actions.change_forward(self.actor, forward.uuid, target_port=option)
        elif kind == "restrict":
            actions.change_forward(self.actor, forward.uuid, sources=option)
        elif kind == "limit":
            actions.change_forward(self.actor, forward.uuid, max_connections=option)
        elif kind == "pause":
            actions.pause_forward(self.actor, forward.uuid)
        elif kind == "resume":
            actions.resume_forward(self.actor, forward.uuid)
        elif kind == "close":
            actions.delete_forward(self.actor, forward.uuid)

    def follow(self) -> None:
        """Bring every changed network to the host and write down what it answers."""
        for network in Network.objects.order_by("pk"):
            if network.applied_generation < network.generation:
                spec = _spec(network)
                outcome = self.reconciler.apply(spec, silent)
                assert outcome.ok, outcome.message
                assert not outcome.attention
                record(network, outcome)

    def compare(self) -> None:
        """What `nft` lists is what the rows say, nothing is left to do, and no key is twice."""
        specs = [_spec(network) for network in Network.objects.all()]
        wanted = [element for spec in specs for element in elements(spec)]
        assert {told(each) for each in wanted if each.name in PLAIN} == self.listed()
        assert [place for place, n in Counter(e.place for e in wanted).items() if n > 1] == []
        assert [self.reconciler.check(spec) for spec in specs] == [()] * len(specs)

    def listed(self) -> set[tuple[str, ...]]:
        """Every element by `nft -j`."""
        found = set()
        for family in ("inet", "bridge"):
            if not any("table" in each for each in self.lab.host.nft(f"list tables {family}")):
                continue
            for each in self.lab.host.nft(f"list table {family} kvmweb"):
                kind = each.get("map") or each.get("set")
                if kind and kind["name"] in PLAIN:
                    for element in kind.get("elem", ()):
                        found.add((family, kind["name"], *_listed(element)))
        return found


def told(element: Element) -> tuple[str, ...]:
    """An element as `listed` gives it."""
    value = element.value if element.name in MAPS else ()
    words = (*element.key, "->", *value) if value else element.key
    return (element.family, element.name, element.owner, *(str(word) for word in words))


def _listed(element: Any) -> list[str]:
    key, value = element if isinstance(element, list) else (element, None)
    owner = ""
    if isinstance(key, dict) and "elem" in key:
        owner, key = key["elem"].get("comment", ""), key["elem"]["val"]
    words = [*_words(key), "->", *_words(value)] if value is not None else _words(key)
    return [owner, *words]


def _words(value: Any) -> list[str]:
    parts = value["concat"] if isinstance(value, dict) else [value]
    return [str(part) for part in parts]


def _one(model: Any, at: int) -> Any:
    """One of the rows there are, if any."""
    rows = list(model.objects.filter(present=True).order_by("pk"))
    return rows[at % len(rows)] if rows else None


def _spec(network: Network) -> NetworkSpec:
    network.refresh_from_db()
    return msgspec.convert(build_spec(network), NetworkSpec)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder: Path = tmp_path_factory.mktemp("random")
    made = Lab(folder)
    try:
        yield made
    finally:
        made.close()


@settings(
    max_examples=6,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(STEPS, min_size=6, max_size=16))
def test_the_kernel_has_what_the_rows_say(
    lab: Lab, actor: Actor, host: Host, public_address: PublicAddress, steps: list[Step]
) -> None:
    with transaction.atomic(), lab.reconciler() as reconciler:
        panel = Panel(actor, lab, reconciler)
        begin = (("network", 0, "nat"), ("guest", 0, None), ("behind", 0, "nat"))
        try:
            for step in (*begin, ("guest", 1, None), *steps):
                panel.take(step)
                panel.follow()
                panel.compare()
        finally:
            reconciler.remove_all()
        transaction.set_rollback(True)
