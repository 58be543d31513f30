"""The way from the guests of one network to those of another of its project."""

from __future__ import annotations

from dataclasses import replace

from networks.host.explain.between import bridge, kernel, routing, rules
from networks.host.explain.seen import HostFacts
from networks.host.explain.steps import Step, broken, ok
from networks.host.explain.ways import Version, network_seen_by
from networks.host.own_router import host_side
from networks.host.spec import NetworkSpec

PeerFacts = dict[Version, tuple[HostFacts, HostFacts]]
"""What was seen for own and other, by the families that both have."""


def explain_peers(own: NetworkSpec, other: NetworkSpec, facts: PeerFacts) -> tuple[Step, ...]:
    """Both halves are needed, whoever begins; then the way of each family. Keys of IPv6 end in
    `:6`."""
    return (
        _half(own, other),
        _half(other, own),
        rules(facts[4][0]),
        *_way(own, other, facts[4]),
        *(_of_ipv6(step) for step in _way6(own, other, facts)),
    )


def _way(
    own: NetworkSpec, other: NetworkSpec, facts: tuple[HostFacts, HostFacts]
) -> tuple[Step, ...]:
    here, there = facts
    return (
        kernel(here, "kernel", own.name),
        kernel(there, "kernel:peer", other.name),
        bridge(host_side(other), there),
        *routing(own, here),
    )


def _way6(own: NetworkSpec, other: NetworkSpec, facts: PeerFacts) -> tuple[Step, ...]:
    if 6 not in facts:
        return ()
    return _way(network_seen_by(own, 6), network_seen_by(other, 6), facts[6])


def _of_ipv6(step: Step) -> Step:
    return replace(step, key=f"{step.key}:6", title=f"{step.title}, for IPv6")


def _half(spec: NetworkSpec, other: NetworkSpec) -> Step:
    title = f"{spec.name} lets {other.name} in"
    key = f"half:{spec.name}"
    if any(peer.bridge == other.bridge for peer in spec.peers):
        return ok(key, title, f"The host was told that {spec.name} agrees.")
    return broken(
        key,
        title,
        f"The host was not told that {spec.name} agrees.",
        wanted="Both networks agree.",
        remedy=f"Accept the peering for {spec.name}, or ask for it again.",
    )
