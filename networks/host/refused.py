"""What the firewall refused lately to or from a network's guests, as its owner may know it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network

from networks.host.drivers import refusals
from networks.host.drivers.refusals import Refusal
from networks.host.noting import Reason
from networks.host.own_router import host_side, to_guests
from networks.host.spec import NetworkSpec, ReservationSpec

MOST = 500
_INWARD = frozenset({"closed", "source", "limit"})
_PROTOCOLS = {"1": "icmp", "58": "icmpv6", "47": "gre", "50": "esp", "132": "sctp", "2": "igmp"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedScope:
    """Of a whole network, or of these guests of it (reservations)."""

    network: str
    reservations: tuple[str, ...] = ()
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownRefusal:
    """`guest` is a reservation, `forward` what it came by, empty where it is not known. `port` is
    the destination's, 0 without one. An empty `source` is a guest of another network of the host.
    `ago` is how many seconds ago the last of the `packets` came."""

    reason: Reason
    guest: str
    forward: str
    source: str
    destination: str
    protocol: str
    port: int
    packets: int
    ago: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusals:
    """The latest of `total`. `logs` says whether anything is noted at all."""

    logs: bool
    total: int = 0
    refused: tuple[ShownRefusal, ...] = ()


def listed(
    spec: NetworkSpec | None, others: Iterable[NetworkSpec], scope: RefusedScope
) -> Refusals:
    """What there is, the latest first."""
    if spec is None or not spec.logs:
        return Refusals(logs=False)
    outer = host_side(spec)
    ports = [guest.port for guest in spec.reservations if guest.port]
    shown = [_shown(outer, each) for each in refusals.read([outer.bridge, *ports])]
    if scope.reservations:
        shown = [each for each in shown if each.guest in scope.reservations]
    shown = _merged(_discreet(shown, _private(outer, others)))
    shown.sort(key=lambda each: each.ago)
    told = shown[: min(scope.limit, MOST)]
    return Refusals(
        logs=True,
        total=len(shown),
        refused=tuple(_as_guests_know(spec, each) for each in told),
    )


def _shown(spec: NetworkSpec, refusal: Refusal) -> ShownRefusal:
    guest = _guest(spec, refusal)
    return ShownRefusal(
        reason=refusal.notes.reason,
        guest=guest.id if guest else "",
        forward=_forward(spec, refusal),
        source=refusal.source,
        destination=refusal.destination,
        protocol=_PROTOCOLS.get(refusal.protocol, refusal.protocol),
        port=refusal.port,
        packets=refusal.packets,
        ago=refusal.ago,
    )


def _forward(spec: NetworkSpec, refusal: Refusal) -> str:
    """The forward whose limits or sources refused it, if only one leads there that has any."""
    reason = refusal.notes.reason
    found = {
        each.id
        for each in spec.forwards
        if each.address == refusal.destination
        and (each.sources if reason == "source" else each.rate or each.connections)
        and each.protocol in {"all", refusal.protocol}
        and (each.protocol == "all" or each.port <= refusal.port < each.port + each.ports)
    }
    return found.pop() if reason in {"source", "limit"} and len(found) == 1 else ""


def _guest(spec: NetworkSpec, refusal: Refusal) -> ReservationSpec | None:
    if refusal.notes.family == "bridge":
        return next((each for each in spec.reservations if each.port == refusal.interface), None)
    address = refusal.source if refusal.notes.outward else refusal.destination
    known = (r for r in spec.reservations if address in {r.address, r.address6})
    return next(known, None)


def _private(spec: NetworkSpec, others: Iterable[NetworkSpec]) -> list[str]:
    """Subnets of other networks of the host whose guests are not seen outside as themselves, and
    that are no neighbour."""
    peers = {peer.bridge for peer in spec.peers}
    strangers = [
        each
        for each in map(host_side, others)
        if each.present and each.subject != spec.subject and each.bridge not in peers
    ]
    hidden = [each.subnet for each in strangers if each.subnet and each.mode != "routed"]
    return hidden + [each.subnet6 for each in strangers if each.subnet6 and each.ipv6 != "routed"]


def _discreet(shown: list[ShownRefusal], private: list[str]) -> list[ShownRefusal]:
    """A network never learns the address behind which a guest of another one is."""
    networks = [ip_network(subnet) for subnet in private]

    def hidden(each: ShownRefusal) -> bool:
        inward = each.reason in _INWARD
        return inward and any(ip_address(each.source) in network for network in networks)

    return [replace(each, source="") if hidden(each) else each for each in shown]


def _merged(shown: list[ShownRefusal]) -> list[ShownRefusal]:
    """What looks the same is one: ICMP of several kinds, and guests that are not told apart."""
    found: dict[ShownRefusal, ShownRefusal] = {}
    for each in shown:
        alike = replace(each, packets=0, ago=0.0)
        before = found.get(alike, replace(each, packets=0))
        total, ago = before.packets + each.packets, min(before.ago, each.ago)
        found[alike] = replace(each, packets=total, ago=ago)
    return list(found.values())


def _as_guests_know(spec: NetworkSpec, each: ShownRefusal) -> ShownRefusal:
    """With the addresses that guests behind a router of their own have."""
    if not spec.transit:
        return each
    if each.reason in _INWARD:
        return replace(each, destination=to_guests(spec, each.destination))
    return replace(each, source=to_guests(spec, each.source))
