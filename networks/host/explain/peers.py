"""The way from the guests of one network to those of another of its project."""

from __future__ import annotations

from networks.host.explain.between import bridge, kernel, routing, rules
from networks.host.explain.seen import HostFacts
from networks.host.explain.steps import Step, broken, ok
from networks.host.own_router import host_side
from networks.host.spec import NetworkSpec


def explain_peers(
    own: NetworkSpec, other: NetworkSpec, facts: tuple[HostFacts, HostFacts]
) -> tuple[Step, ...]:
    """Both halves are needed, whoever begins."""
    here, there = facts
    return (
        _half(own, other),
        _half(other, own),
        rules(here),
        kernel(here, "kernel", own.name),
        kernel(there, "kernel:peer", other.name),
        bridge(host_side(other), there),
        *routing(own, here),
    )


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
