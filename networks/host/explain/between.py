"""What lies between an uplink and the bridge of a network, whichever way a packet goes."""

from __future__ import annotations

from collections.abc import Iterator

from networks.host.explain.seen import Foreign, HostFacts
from networks.host.explain.steps import Step, broken, listed, ok, unknown
from networks.host.own_router import host_side
from networks.host.spec import NetworkSpec


def routing(spec: NetworkSpec, host: HostFacts) -> Iterator[Step]:
    """What lies between an uplink and the bridge."""
    yield bridge(host_side(spec), host)
    if spec.transit:
        yield _router(host)
    yield _forwarding(host)
    yield from chains(host)


def chains(host: HostFacts) -> Iterator[Step]:
    """What other firewalls do with it."""
    for foreign in host.chains:
        yield _chain(foreign)
    for what in host.unread:
        found = f"The host has {what}: whether they drop anything cannot be told."
        yield unknown("chain", "Other firewalls let it through", found)
    if not host.chains and not host.unread:
        found = "No other firewall filters forwarded packets."
        yield ok("chain", "Other firewalls let it through", found)


def kernel(host: HostFacts, key: str = "kernel", of: str = "the network") -> Step:
    """Whether the elements of a network as a whole are there."""
    title = f"The rules of {of} are in the kernel"
    if not host.missing:
        return ok(key, title, "None is missing.")
    return broken(
        key,
        title,
        f"Not in the kernel: {listed(host.missing)}.",
        wanted="All of the network's rules.",
        remedy="Press Repair.",
        mend="repair",
    )


def rules(host: HostFacts) -> Step:
    """Whether our tables are as we load them."""
    title = "The firewall rules are loaded"
    if host.skeleton:
        return ok("rules", title, "The tables inet kvmweb and bridge kvmweb are as they should.")
    return broken(
        "rules",
        title,
        "The tables of kvmweb are missing or were changed by somebody else.",
        wanted="Both tables as kvmweb loads them.",
        remedy="Press Repair, and see that the network worker of the host runs.",
        mend="repair",
    )


def _forwarding(host: HostFacts) -> Step:
    title = "The host passes packets on"
    links = [*host.uplinks, *([host.bridge] if host.bridge else [])]
    closed = [link.name for link in links if not link.forwards]
    if closed:
        return broken(
            "forwarding",
            title,
            f"Forwarding is off on {', '.join(closed)}.",
            wanted=f"{host.forwarding.format('…')} = 1.",
            remedy=f"Press Repair, or: sysctl {host.forwarding.format(closed[0])}=1.",
            mend="repair",
        )
    names = ", ".join(link.name for link in links)
    return ok("forwarding", title, f"Forwarding is on for {names or 'no interface'}.")


def _chain(foreign: Foreign) -> Step:
    judged = foreign.judged
    key, title = f"chain:{judged.label}", f"Chain {judged.label} lets it through"
    if judged.passes:
        return ok(key, title, "It accepts the packet and its answer.")
    if judged.drops:
        return broken(
            key,
            title,
            "This chain of another firewall drops the packet, or its answer.",
            wanted="An accept for kw* before whatever drops.",
            remedy=foreign.remedy,
            detail=judged.why,
        )
    found = "A rule there may drop it: it looks at what cannot be known beforehand."
    return unknown(key, title, found, remedy=foreign.remedy, detail=judged.why)


def _router(host: HostFacts) -> Step:
    title = "The network's own router translates"
    if not host.router:
        return ok("router", title, "Its namespace, links, addresses and rules are as they should.")
    return broken(
        "router",
        title,
        f"It is not as it should be. A repair would say: {'; '.join(host.router)}.",
        wanted="A namespace with the network's gateway, its way to the host and its rules.",
        remedy="Press Repair.",
        mend="repair",
    )


def bridge(spec: NetworkSpec, host: HostFacts) -> Step:
    """Whether the network's bridge is on and has the gateway's address."""
    title = "The bridge of the network is there"
    held = (spec.bridge, spec.gateway) in host.holds
    if host.bridge is None:
        found = f"There is no bridge {spec.bridge}."
    elif not host.bridge.up:
        found = f"Bridge {spec.bridge} is off."
    elif not held:
        found = f"Bridge {spec.bridge} does not have the address {spec.gateway}."
    else:
        return ok("bridge", title, f"{spec.bridge} is on and has {spec.gateway}.")
    wanted = f"Bridge {spec.bridge}, on, with {spec.gateway}."
    return broken("bridge", title, found, wanted=wanted, remedy="Press Repair.", mend="repair")
