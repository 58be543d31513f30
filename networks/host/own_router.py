"""A network with a router of its own: a network namespace that only translates. Pure.

The guests' subnet exists in that namespace alone, so other networks of the host may have the same
one. Each address of it is one of `transit` to the rest of the host, a subnet that nobody else
there has, and the namespace translates the ones into the others, number by number. To the host it
is then a network like any other, with another subnet and another interface (`host_side`): its
forwards, its ways out, its limits, counters, connections and explanations are those of all
networks. The gateway address is translated to the host's end of the way between, where guests'
names are resolved.

Guests stay plugged into their bridge in the host's own namespace, which has no address; what they
may send is judged there. In the namespace the gateway's interface has the name of the bridge, so
that dnsmasq is told the same as elsewhere.

Who comes from an address that the guests' subnet has too (a guest of another network, a client in
the host's own network) would be a neighbour to them: to these the host lends its end's address.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network
from typing import TypeAlias

from kvmweb.core import names
from networks.host.spec import NetworkSpec

UPLINK = "uplink"
_KEPT = 16  # a spec is asked about several times while it is applied
_SETTINGS = (
    ("ipv4/forwarding", "1"),
    ("ipv4/rp_filter", "0"),
    ("ipv6/disable_ipv6", "1"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerLink:
    """An interface of the namespace that is up. The `mac` of the way to the host is anyone's."""

    name: str
    mtu: int
    mac: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerRoute:
    """A route of the main table. A `local` one has the namespace answer for its addresses."""

    destination: str
    interface: str
    gateway: str = ""
    local: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """What is set in the namespace: links that are up, addresses by interface, routes, and settings
    by interface and key."""

    links: frozenset[InnerLink] = frozenset()
    addresses: frozenset[tuple[str, str]] = frozenset()
    routes: frozenset[InnerRoute] = frozenset()
    settings: frozenset[tuple[str, str, str]] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterState:
    """A router as it is. `rules` says that its translation is the one that was loaded last, of
    this text; `leftover` that anything of it is on the host at all. `port` and `link` say whether
    the cables to the bridge and to the host end in this namespace."""

    there: bool = False
    leftover: bool = False
    port: bool = False
    port_mtu: int = 0
    plugged: bool = False
    link: bool = False
    link_mtu: int = 0
    inside: Inside = Inside()
    rules: str = ""


NO_ROUTER = RouterState()


@dataclass(frozen=True, slots=True)
class MakeRouter:
    """Make the namespace, in place of what is left of an earlier one."""

    bridge: str

    @property
    def sentence(self) -> str:
        return f"Made a router for bridge {self.bridge}"


@dataclass(frozen=True, slots=True)
class LayCable:
    """Connect the host and the namespace, by `outer` and `inner`, in place of what is there."""

    bridge: str
    outer: str
    inner: str
    mac: str = ""

    @property
    def sentence(self) -> str:
        ends = "the host" if self.inner == UPLINK else f"bridge {self.bridge}"
        return f"Connected the router of bridge {self.bridge} to {ends}"


@dataclass(frozen=True, slots=True)
class LoadTranslation:
    """Load the rules of the namespace, all at once."""

    bridge: str
    text: str

    @property
    def sentence(self) -> str:
        return f"Loaded the rules of the router of bridge {self.bridge}"


@dataclass(frozen=True, slots=True)
class SetUpRouter:
    """Set what is inside: links, addresses, routes and settings."""

    bridge: str
    inside: Inside

    @property
    def sentence(self) -> str:
        return f"Set addresses and routes of the router of bridge {self.bridge}"


@dataclass(frozen=True, slots=True)
class DeleteRouter:
    """End what runs in the namespace, and take it and its cables away."""

    bridge: str

    @property
    def sentence(self) -> str:
        return f"Removed the router of bridge {self.bridge}"


RouterOp: TypeAlias = MakeRouter | LayCable | LoadTranslation | SetUpRouter | DeleteRouter


@lru_cache(maxsize=_KEPT)
def host_side(spec: NetworkSpec) -> NetworkSpec:
    """The network as the rest of its host has it."""
    if not spec.transit:
        return spec
    return replace(
        spec,
        bridge=names.router_link(spec.bridge),
        transit="",
        subnet=spec.transit,
        gateway=to_host(spec, spec.gateway),
        reservations=tuple(
            replace(each, address=to_host(spec, each.address)) for each in spec.reservations
        ),
        forwards=tuple(
            replace(each, address=to_host(spec, each.address)) for each in spec.forwards
        ),
        host_names=tuple(
            replace(each, address=to_host(spec, each.address)) for each in spec.host_names
        ),
    )


def to_host(spec: NetworkSpec, address: str) -> str:
    """What the host calls a guest's address."""
    return moved(address, spec.subnet, spec.transit)


def to_guests(spec: NetworkSpec, address: str) -> str:
    """What guests call an address the host knows; others stay as they are."""
    return moved(address, spec.transit, spec.subnet)


def owners(spec: NetworkSpec) -> frozenset[str]:
    """The interfaces whose elements are the network's."""
    return frozenset([spec.bridge, host_side(spec).bridge])


def bridge_mac(spec: NetworkSpec) -> str:
    """The address of the bridge itself; the network's is that of its gateway."""
    return f"5a{spec.bridge_mac[2:]}" if spec.transit else spec.bridge_mac


def inside(spec: NetworkSpec) -> Inside:
    """What should be set in the namespace."""
    bridge, host = spec.bridge, host_side(spec).gateway
    keys = [(name, key, value) for name in (bridge, UPLINK) for key, value in _SETTINGS]
    return Inside(
        links=frozenset(
            [
                InnerLink(name="lo", mtu=65536),
                InnerLink(name=bridge, mtu=spec.mtu, mac=spec.bridge_mac),
                InnerLink(name=UPLINK, mtu=spec.mtu),
            ]
        ),
        addresses=frozenset([(bridge, f"{spec.gateway}/{IPv4Network(spec.subnet).prefixlen}")]),
        routes=frozenset(
            [
                InnerRoute(destination=spec.transit, interface="lo", local=True),
                InnerRoute(destination=f"{host}/32", interface=UPLINK),
                InnerRoute(destination="0.0.0.0/0", interface=UPLINK, gateway=host),
            ]
        ),
        # Only addresses of the interface itself are answered for to guests.
        settings=frozenset(
            [("all", "ipv4/rp_filter", "0"), (bridge, "ipv4/arp_ignore", "1"), *keys]
        ),
    )


def translation(spec: NetworkSpec) -> str:
    """The rules of the namespace, as a file that replaces those there are."""
    host = host_side(spec).gateway
    there, back = f"{spec.subnet} : {spec.transit}", f"{spec.transit} : {spec.subnet}"
    rules = (
        ("pre", f'iifname "kw*" ip daddr {spec.gateway} {_DNS} dnat ip to {host}'),
        ("pre", f'iifname "{UPLINK}" dnat ip prefix to ip daddr map {{ {back} }}'),
        ("post", f'oifname "{UPLINK}" snat ip prefix to ip saddr map {{ {there} }}'),
        ("between", "ct state invalid counter drop"),
        ("between", f'iifname "kw*" oifname "{UPLINK}" ip saddr {spec.subnet} accept'),
        ("between", f'iifname "{UPLINK}" oifname "kw*" ct status dnat accept'),
        ("between", f'iifname "{UPLINK}" oifname "kw*" ct state established,related accept'),
        ("between", "counter drop"),
        ("own", 'iifname "kw*" udp sport 68 udp dport 67 accept'),
        ("own", f'iifname "kw*" ip daddr {spec.gateway} icmp type echo-request {_PINGS} accept'),
        ("own", "counter drop"),
    )
    lines = ["add table inet kvmweb", "delete table inet kvmweb", "add table inet kvmweb"]
    lines += [f"add chain inet kvmweb {name} {{ {hook}; }}" for name, hook in _CHAINS.items()]
    lines += [f"add rule inet kvmweb {chain} {rule}" for chain, rule in rules]
    return "\n".join(lines) + "\n"


_DNS = "meta l4proto { tcp, udp } th dport 53"
_PINGS = "limit rate 50/second"
_CHAINS = {
    "pre": "type nat hook prerouting priority -100",
    "post": "type nat hook postrouting priority 100",
    "between": "type filter hook forward priority 0",
    "own": "type filter hook input priority 0",
}


def amiss(spec: NetworkSpec, state: RouterState) -> tuple[str, ...]:
    """What would have to be done to the namespace."""
    if not spec.transit:
        return ()
    return tuple(op.sentence for op in (*cables(spec, state), *settings(spec, state)))


def cables(spec: NetworkSpec, state: RouterState) -> Iterator[RouterOp]:
    """What brings the namespace and its cables to be."""
    if not state.there:
        yield MakeRouter(spec.bridge)
    if not (state.there and state.port):
        yield LayCable(spec.bridge, names.router_port(spec.bridge), spec.bridge, spec.bridge_mac)
    if not (state.there and state.link):
        yield LayCable(spec.bridge, names.router_link(spec.bridge), UPLINK)


def settings(spec: NetworkSpec, state: RouterState) -> Iterator[RouterOp]:
    """What brings the namespace to translate. Rules come before addresses."""
    text, wanted = translation(spec), inside(spec)
    if not state.there or state.rules != text:
        yield LoadTranslation(spec.bridge, text)
    if not (state.there and state.port and state.link) or state.inside != wanted:
        yield SetUpRouter(spec.bridge, wanted)


def moved(address: str, old: str, new: str) -> str:
    """The address with the same number in another subnet as large as the `old` one; one that is not
    in that stays as it is."""
    if (
        not (address and old and new)
        or ":" in address
        or IPv4Address(address) not in IPv4Network(old)
    ):
        return address
    at = int(IPv4Address(address)) - int(IPv4Network(old).network_address)
    return str(IPv4Network(new).network_address + at)
