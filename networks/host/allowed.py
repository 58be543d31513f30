"""Which connections of a network's guests the network allows, as its rules would judge them now.

Asked when a change may have taken something back: rules judge a connection only when it begins, so
those that began before and are no longer allowed have to be ended, and no others. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import TypeAlias

from networks.host.listed import permits
from networks.host.spec import EgressSpec, Ipv6, Mode, NetworkSpec, own_sources

Address: TypeAlias = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A tracked connection. `answers` is who answers, `seen` whom that one sees, after any
    translation; `number` is that of its forward, 0 is none."""

    number: int = 0
    protocol: int
    source: Address
    destination: Address
    port: int
    answers: Address
    seen: Address

    @property
    def is_forwarded(self) -> bool:
        return self.answers != self.destination


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """A network, and what of its host decides: the host's own addresses, those that masquerading
    takes, and the subnets of the other networks. `whole` are the numbers of its forwards of whole
    addresses."""

    spec: NetworkSpec
    whole: frozenset[int] = frozenset()
    own: frozenset[str] = frozenset()
    masquerade: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()

    def allows(self, connection: Connection) -> bool:
        """Whether the network has nothing against it; one that is not of its guests is nothing to
        it, and forwards from elsewhere are judged by their numbers."""
        side = _side(self.spec, connection.source.version)
        starts, answers = side.has(connection.source), side.has(connection.answers)
        if not (starts or answers) or self._is_of_host(connection):
            return True
        if connection.number in self.whole and not self._is_open(connection):
            return False
        if connection.is_forwarded:
            return not starts or self._may_leave(side, connection)
        if starts and answers:
            return not self.spec.guests_apart
        peer = connection.destination if starts else connection.source
        if _is_in(peer, self.others):
            return _is_in(peer, side.peers)
        if starts:
            return self._may_leave(side, connection)
        return side.mode == "routed" and self._is_open(connection)

    def _is_of_host(self, connection: Connection) -> bool:
        if str(connection.source) in self.own:
            return True
        return not connection.is_forwarded and str(connection.destination) in self.own

    def _is_open(self, connection: Connection) -> bool:
        guest, spec = str(connection.answers), self.spec
        own = (
            rule
            for each in spec.reservations
            if guest in (each.address, each.address6)
            for rule in each.inbound
        )
        rules = (*spec.inbound, *own)
        return permits(rules, connection.protocol, connection.source, connection.port)

    def _may_leave(self, side: _Side, connection: Connection) -> bool:
        if side.mode == "isolated":
            return False
        if side.egress is not None and not permits(
            side.egress, connection.protocol, connection.destination, connection.port
        ):
            return False
        return self._is_seen_as_wanted(side, connection)

    def _is_seen_as_wanted(self, side: _Side, connection: Connection) -> bool:
        seen = str(connection.seen)
        if side.mode == "routed":
            return connection.seen == connection.source
        if own := own_sources(self.spec).get(str(connection.source)):
            return seen == own
        if side.sources:
            return seen in side.sources
        return seen in (self.own if connection.is_forwarded else self.masquerade)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """What a network is in one family of addresses. Without `sources` it masquerades."""

    mode: Mode
    subnet: str
    sources: tuple[str, ...]
    egress: tuple[EgressSpec, ...] | None
    peers: tuple[str, ...]

    def has(self, address: Address) -> bool:
        """Whether a guest may have this address."""
        return bool(self.subnet) and address in ip_network(self.subnet)


def _side(spec: NetworkSpec, version: int) -> _Side:
    if version == 6:
        return _side6(spec)
    return _Side(
        mode=spec.mode,
        subnet=spec.subnet,
        sources=spec.source_pool or tuple(filter(None, [spec.source_address])),
        egress=spec.egress,
        peers=tuple(peer.subnet for peer in spec.peers),
    )


def _side6(spec: NetworkSpec) -> _Side:
    modes: dict[Ipv6, Mode] = {"off": "isolated", "nat66": "nat", "routed": "routed"}
    return _Side(
        mode="isolated" if spec.mode == "isolated" else modes[spec.ipv6],
        subnet=spec.subnet6,
        sources=tuple(filter(None, [spec.source_address6])),
        egress=spec.egress,
        peers=tuple(peer.subnet6 for peer in spec.peers if peer.subnet6),
    )


def _is_in(address: Address, subnets: Iterable[str]) -> bool:
    return any(address in ip_network(subnet) for subnet in subnets)
