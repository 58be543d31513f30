"""What a network on a host should be: plain, frozen, complete data. What is, is in `state`.

A spec says everything; applying it never needs another spec, the database or the web. Deleting is a
spec with `present=False`. Specs travel and are stored as JSON through msgspec, which also checks
every type on the way in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Mode = Literal["nat", "routed", "isolated", "bridged"]
AttachedTo = Literal["bridge", "uplink"]
Ipv6 = Literal["off", "nat66", "routed"]
Protocol = Literal["tcp", "udp", "all"]
Tls = Literal["off", "passthrough", "terminate"]
EgressProtocol = Literal["any", "tcp", "udp", "icmp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSpec:
    """Addresses, and all of a protocol or its ports from `first_port` to `last_port`. A `last_port`
    of 0 means all."""

    cidr: str
    protocol: EgressProtocol = "any"
    first_port: int = 0
    last_port: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressSpec(ListedSpec):
    """A place outside that guests may go to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundSpec(ListedSpec):
    """Who outside may come to a guest that is reachable as a whole, and to which of its ports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationSpec:
    """A MAC and its addresses fixed in a network.

    `port` is the tap that may use them, empty while there is none. `address6` is the one that a
    guest with this MAC makes itself of the network's IPv6 prefix, empty without one. A guest of a
    bridged network has its addresses from outside, and both are empty. `inbound`
    opens this guest where it is reachable as a whole, beside what its network opens. `max_down`
    and `max_up` are the most bytes per second to and from it, 0 for no limit.
    """

    id: str
    mac: str
    address: str
    hostname: str
    port: str = ""
    address6: str = ""
    inbound: tuple[InboundSpec, ...] = ()
    max_down: int = 0
    max_up: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardSpec:
    """`ports` ports of one protocol: `public_address:public_port` -> `address:port`, and on; both
    addresses are of one family.

    With protocol "all" the whole public address leads to the guest (1:1 NAT) and ports are 0. With
    `source_nat` the guest's own traffic leaves by the public address; it is the same in all
    forwards of a guest that have it. `number` is its ct mark, never 0.
    A forward of "tcp and udp" is two of these with the same `id` and `number`. `sources` are the
    IPv4 networks, in CIDR notation, that may use it; none means anyone. `rate` and `burst` limit
    new connections (per second, and at once), `connections` those open at the same time; 0 is no
    limit. Limits are of the forward as a whole, both protocols together.
    """

    id: str
    number: int
    protocol: Protocol
    public_address: str
    public_port: int
    address: str
    port: int
    ports: int = 1
    source_nat: bool = False
    sources: tuple[str, ...] = ()
    rate: int = 0
    burst: int = 0
    connections: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostNameSpec:
    """A host name on the shared ports 80 and 443 of a public address that leads to `address`; the
    two may be of different families.

    `number` is that of its counters. `name` is in lower case and ASCII, `*.` before it stands for
    one label. `http_port` is where requests on port 80 go, 0 nowhere; `tls_port` where TLS on port
    443 goes: as it is, with the client told by the PROXY protocol if `proxy_protocol`, or ended
    here, and then as HTTP or, if `reencrypt`, by TLS whose certificate nobody checks. With
    `redirect` requests on port 80 are sent to port 443. `certificate` names what `sealed_pem` has:
    the certificates and the key (PEM), sealed for this host.
    """

    id: str
    number: int
    public_address: str
    name: str
    address: str
    http_port: int = 0
    tls: Tls = "off"
    tls_port: int = 0
    proxy_protocol: bool = False
    reencrypt: bool = False
    redirect: bool = False
    certificate: str = ""
    sealed_pem: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelSpec:
    """`owner` marks its lines; `address` and `port` are where the panel listens, as seen from the
    host reaches it. `certificate` names what `sealed_pem` has, as in `HostNameSpec`."""

    subject: str
    epoch: int
    generation: int
    present: bool
    owner: str
    name: str
    public_address: str
    address: str
    port: int
    certificate: str
    sealed_pem: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSpec:
    """Another network of the same host that this one lets in, and may go to if it is let in."""

    bridge: str
    subnet: str
    subnet6: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamesSpec:
    """How guests resolve names: each other as `hostname.domain`, the rest by `upstreams`, which
    are the host's own when there are none."""

    domain: str
    upstreams: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """All of one network on one host.

    `epoch` and `generation` order specs of one subject: a host drops one that is older than what it
    has stored. `gateway` is the bridge's own address.

    `source_address` is the public address of source NAT; None masquerades. With a `source_pool`
    every guest has one of its addresses instead, always the same. `egress` lists where guests may
    go outside; None is everywhere. `guests_apart` keeps the guests from each other. `inbound`
    opens all guests where they are reachable as a whole; everything else there is closed. Without
    `names` guests are told the host's own name servers. `max_down` and `max_up` are the most bytes
    per second to and from all guests together, without what they send each other; 0 is no limit.
    What others change on the host is put right where it `repairs`, and only told otherwise. What is
    refused to and from its guests is noted where it `logs`.

    With `ipv6` guests have addresses of the /64 `subnet6` too: those of "nat66" are translated on
    their way out, to `source_address6` or to the uplink's own; those of "routed" never.

    With `transit` the network has a router of its own, see `own_router`: a subnet as large as its
    own, by which the rest of the host knows it.

    Guests of a "bridged" network are on an interface of the host that is not ours, `attach`: a
    bridge, or an uplink by macvtap, whose frames pass us by. The network has no bridge, subnet,
    name, way or limit of its own. `guarded` closes its guests but for what `inbound` opens.
    """

    subject: str
    epoch: int
    generation: int
    present: bool = True
    name: str = ""
    mode: Mode = "nat"
    bridge: str
    bridge_mac: str = ""
    subnet: str = ""
    transit: str = ""
    gateway: str = ""
    source_address: str | None = None
    source_pool: tuple[str, ...] = ()
    egress: tuple[EgressSpec, ...] | None = None
    peers: tuple[PeerSpec, ...] = ()
    guests_apart: bool = False
    inbound: tuple[InboundSpec, ...] = ()
    repairs: bool = True
    logs: bool = False
    attach: str = ""
    attached_to: AttachedTo = "bridge"
    guarded: bool = True
    mtu: int = 1500
    names: NamesSpec | None = None
    max_down: int = 0
    max_up: int = 0
    host_names: tuple[HostNameSpec, ...] = ()
    ipv6: Ipv6 = "off"
    subnet6: str = ""
    gateway6: str = ""
    source_address6: str | None = None
    lease_seconds: int = 3600
    reservations: tuple[ReservationSpec, ...] = ()
    forwards: tuple[ForwardSpec, ...] = ()


def own_sources(spec: NetworkSpec) -> dict[str, str]:
    """The guests that leave by a public address of their own."""
    return {each.address: each.public_address for each in spec.forwards if each.source_nat}
