"""The live translation table of a forward, a guest or a network; and ending what is in it.

Listing only reads. Ending is a write and so the network worker's, in a thread beside its owner's:
no rule is touched, and no apply waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Literal

from kvmweb.core.errors import Conflict
from networks.host.drivers import flowtable
from networks.host.drivers.flows import Flows
from networks.host.drivers.flowtable import Flow
from networks.host.ops import EndFlows
from networks.host.own_router import host_side, to_guests
from networks.host.spec import NetworkSpec

MOST = 500
_SEARCHED = 20_000

Direction = Literal["in", "out"]
Networks = list[IPv4Network | IPv6Network]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose connections: of a forward, of guests (reservations), or of a whole network. `flow`
    is one of them; `search` is part of an address, a port, a protocol or a state. `beside` are
    networks and reservations whose connections were told already."""

    network: str
    forward: str = ""
    reservations: tuple[str, ...] = ()
    search: str = ""
    limit: int = 100
    flow: str = ""
    beside: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownFlow:
    """A connection, and by which forward it came in, if by one."""

    direction: Direction
    forward: str
    flow: Flow


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """`total` is how many there are, `searched` how many of them were looked at."""

    total: int
    searched: int
    flows: tuple[ShownFlow, ...]


Find = Callable[[str], NetworkSpec | None]


def listed(spec: NetworkSpec | None, scope: Scope, find: Find = lambda _: None) -> Listing:
    """What there is, the first `limit` that match; `find` knows the networks of `beside`."""
    if spec is None:
        return Listing(total=0, searched=0, flows=())
    outer = host_side(spec)
    found, own = _raw(outer, scope, find), _own(outer)
    shown: list[ShownFlow] = []
    searched, limit = 0, min(scope.limit, MOST)
    for whole in _decoded(found):
        searched += 1
        flow = discreet(whole, own)
        told = _as_guests_know(spec, flow)
        if _matches(told, scope.search):
            shown.append(replace(_shown(outer, own, flow), flow=told))
        if len(shown) >= limit:
            break
    return Listing(total=len(found), searched=searched, flows=tuple(shown))


def ended(spec: NetworkSpec | None, scope: Scope) -> int:
    """End them all, or the one that `flow` names; returns how many."""
    if spec is None:
        return 0
    found = _raw(host_side(spec), scope)
    if scope.flow:
        return flowtable.end(each for each in found if flowtable.identity(each) == scope.flow)
    if not scope.forward:
        return flowtable.end(found)
    flows = Flows()
    try:
        flows.end(EndFlows(numbers=frozenset({_number(spec, scope.forward)})))
    finally:
        flows.close()
    return len(found)


def discreet(flow: Flow, own: Networks) -> Flow:
    """What the network with these subnets may know of a connection: of a guest elsewhere that was
    translated it knows what the other side sees, never the address behind it."""
    if flow.source != flow.seen_as and not _is_in(own, flow.source):
        flow = replace(flow, source=flow.seen_as, source_port=flow.seen_as_port)
    if flow.answers != flow.destination and not _is_in(own, flow.answers):
        flow = replace(flow, answers=flow.destination, answers_port=flow.destination_port)
    return flow


def _as_guests_know(spec: NetworkSpec, flow: Flow) -> Flow:
    """With the addresses that guests behind a router of their own have and see."""
    if not spec.transit:
        return flow
    return replace(
        flow,
        source=to_guests(spec, flow.source),
        destination=to_guests(spec, flow.destination),
        answers=to_guests(spec, flow.answers),
        seen_as=to_guests(spec, flow.seen_as),
    )


def _raw(spec: NetworkSpec, scope: Scope, find: Find = lambda _: None) -> list[bytes]:
    if scope.forward:
        return flowtable.of_forward(_number(spec, scope.forward))
    if scope.reservations:
        told = ((find(network), guests) for network, guests in scope.beside)
        but = [one for other, guests in told if other for one in _at(host_side(other), guests)]
        return flowtable.of_guests(_at(spec, scope.reservations), but)
    subnets = [subnet for subnet in (spec.subnet, spec.subnet6) if subnet]
    return flowtable.of_subnets(subnets, {each.number for each in spec.forwards})


def _at(spec: NetworkSpec, reservations: Collection[str]) -> list[str]:
    """The addresses of these."""
    guests = [each for each in spec.reservations if each.id in reservations]
    return [one for each in guests for one in (each.address, each.address6) if one]


def _own(spec: NetworkSpec) -> Networks:
    return [ip_network(subnet) for subnet in (spec.subnet, spec.subnet6) if subnet]


def _is_in(networks: Networks, address: str) -> bool:
    known = ip_address(address)
    return any(known in network for network in networks)


def _number(spec: NetworkSpec, wanted: str) -> int:
    for forward in spec.forwards:
        if forward.id == wanted:
            return forward.number
    raise Conflict(
        "The host has not been told of this forward, or it is paused.",
        code="forward_not_there",
        remedy="A forward that is not on the host has no connections.",
    )


def _decoded(found: list[bytes]) -> Iterator[Flow]:
    """Decoding is what costs, so no more is done than somebody can look at."""
    for payload in found[:_SEARCHED]:
        flow = flowtable.decoded(payload)
        if flow is not None:
            yield flow


def _matches(flow: Flow, search: str) -> bool:
    word = search.strip().lower()
    if not word:
        return True
    if word.isdecimal():
        ports = (flow.source_port, flow.destination_port, flow.answers_port)
        return int(word) in ports
    texts = (flow.protocol, flow.state, flow.source, flow.destination, flow.answers, flow.seen_as)
    return any(word in text for text in texts)


def _shown(spec: NetworkSpec, own: Networks, flow: Flow) -> ShownFlow:
    numbers = (each.id for each in spec.forwards if each.number == flow.number)
    by = next(numbers, "") if flow.number else ""
    out = not by and _is_in(own, flow.source)
    return ShownFlow(direction="out" if out else "in", forward=by, flow=flow)
