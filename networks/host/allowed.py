"""Which connections of a network's guests the network allows, as its rules would judge them now.

Asked when a change may have taken something back: rules judge a connection only when it begins, so
those that began before and are no longer allowed have to be ended, and no others. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from networks.host.listed import permits
from networks.host.spec import NetworkSpec, own_sources


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A tracked connection. `answers` is who answers, `seen` whom that one sees, after any
    translation."""

    protocol: int
    source: IPv4Address
    destination: IPv4Address
    port: int
    answers: IPv4Address
    seen: IPv4Address

    @property
    def is_forwarded(self) -> bool:
        return self.answers != self.destination


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """A network, and what of its host decides: the host's own addresses, those that masquerading
    takes, and the subnets of the other networks."""

    spec: NetworkSpec
    own: frozenset[str] = frozenset()
    masquerade: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()

    def allows(self, connection: Connection) -> bool:
        """Whether the network has nothing against it; one that is not of its guests is nothing to
        it, and forwards from elsewhere are judged by their numbers."""
        inside = IPv4Network(self.spec.subnet)
        starts, answers = connection.source in inside, connection.answers in inside
        if not (starts or answers) or self._is_of_host(connection):
            return True
        if connection.is_forwarded:
            return not starts or self._may_leave(connection)
        if starts and answers:
            return not self.spec.guests_apart
        peer = connection.destination if starts else connection.source
        if self._is_of_another(peer):
            return any(peer in IPv4Network(each.subnet) for each in self.spec.peers)
        return self._may_leave(connection) if starts else self._may_come(connection)

    def _is_of_host(self, connection: Connection) -> bool:
        if str(connection.source) in self.own:
            return True
        return not connection.is_forwarded and str(connection.destination) in self.own

    def _is_of_another(self, address: IPv4Address) -> bool:
        return any(address in IPv4Network(subnet) for subnet in self.others)

    def _may_come(self, connection: Connection) -> bool:
        spec = self.spec
        if spec.mode != "routed":
            return False
        guest = str(connection.answers)
        own = (rule for each in spec.reservations if each.address == guest for rule in each.inbound)
        rules = (*spec.inbound, *own)
        return permits(rules, connection.protocol, connection.source, connection.port)

    def _may_leave(self, connection: Connection) -> bool:
        spec = self.spec
        if spec.mode == "isolated":
            return False
        if spec.egress is not None and not permits(
            spec.egress, connection.protocol, connection.destination, connection.port
        ):
            return False
        return self._is_seen_as_wanted(connection)

    def _is_seen_as_wanted(self, connection: Connection) -> bool:
        seen = str(connection.seen)
        if self.spec.mode == "routed":
            return connection.seen == connection.source
        if own := own_sources(self.spec).get(str(connection.source)):
            return seen == own
        if self.spec.source_pool:
            return seen in self.spec.source_pool
        if self.spec.source_address is not None:
            return seen == self.spec.source_address
        return seen in (self.own if connection.is_forwarded else self.masquerade)
