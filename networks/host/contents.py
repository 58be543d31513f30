"""What a network adds to the ruleset: its elements, from its spec. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from kvmweb.core.ipv6 import LINK_LOCAL, interface_address
from networks.host.elements import DOORS, PROTOCOLS, SOURCE_SETS, Element, Family, Field
from networks.host.listed import egress_elements, inbound_elements, let_elements
from networks.host.noting import LOGGED
from networks.host.own_router import host_side
from networks.host.proxy import PORTS
from networks.host.spec import ForwardSpec, NetworkSpec, ReservationSpec, own_sources

PROXIED = ("proxied", "proxied6")
_KEPT = 16  # a spec is asked about several times while it is applied


@lru_cache(maxsize=_KEPT)
def owned(spec: NetworkSpec) -> Mapping[Element, str]:
    """Every element of the network, with the id of the forward, reservation or network it is of."""
    if not spec.present:
        return {}
    if spec.transit:
        return _owned_by_both(spec)
    found = dict.fromkeys(_network_elements(spec), spec.subject)
    for reservation in spec.reservations:
        found |= dict.fromkeys(_reservation_elements(spec, reservation), reservation.id)
    for forward in spec.forwards:
        found |= dict.fromkeys(_forward_elements(spec, forward), forward.id)
    return found


def _owned_by_both(spec: NetworkSpec) -> dict[Element, str]:
    """Ports are where guests are, all else is where the rest of the host is. Who has an address of
    the guests' own subnet there is never seen with it."""
    outer = host_side(spec)
    found = {e: of for e, of in owned(replace(spec, transit="")).items() if e.family == "bridge"}
    found |= {e: of for e, of in owned(outer).items() if e.family == "inet"}
    network = IPv4Network(spec.subnet)
    ends = f"{network.network_address}-{network.broadcast_address}"
    inside = Element("inet", "inside", (outer.bridge, ends), (), outer.bridge)
    return found | {inside: spec.subject}


@lru_cache(maxsize=_KEPT)
def elements(spec: NetworkSpec) -> frozenset[Element]:
    """Every element the network should have in the kernel."""
    return frozenset(owned(spec))


def host_elements(
    uplinks: Iterable[str],
    closed: Iterable[str],
    proxied: Iterable[str] = (),
    *,
    shut: bool = False,
    through: Iterable[str] = (),
) -> frozenset[Element]:
    """The elements of the host as a whole; `proxied` are addresses that host names share, `shut`
    is about IPv6, `through` are bridges whose frames pass the IP firewall."""
    return frozenset(
        [Element("inet", "uplinks", (name,)) for name in uplinks]
        + [Element("inet", "closed", (name,)) for name in closed]
        + [Element("inet", "through", (name, name)) for name in through]
        + [
            Element("inet", PROXIED[":" in address], (address, port))
            for address in proxied
            for port in PORTS
        ]
        + ([Element("inet", "shut", ("ipv6",))] if shut else [])
    )


def _network_elements(spec: NetworkSpec) -> list[Element]:
    bridge = spec.bridge
    if spec.mode == "bridged":
        return []
    found = [Element("inet", "settled", (bridge,), (), bridge)]
    if spec.logs:
        found.append(Element("inet", LOGGED, (bridge,), (), bridge))
    partners = [] if spec.guests_apart else [bridge]
    partners += [peer.bridge for peer in spec.peers]
    found += [Element("inet", "pairs", (bridge, partner), (), bridge) for partner in partners]
    found += _speed_elements("inet", "network", bridge, (spec.max_down, spec.max_up), bridge)
    if spec.names is not None:
        found.append(Element("inet", "dns", (bridge,), (), bridge))
    if spec.mode == "isolated":
        return found
    found.append(Element("inet", "hairpin", (bridge, bridge), (), bridge))
    if spec.egress is None:
        found.append(Element("inet", "egress", (bridge,), (), bridge))
    else:
        found += egress_elements(bridge, spec.egress)
    found += _sources6(spec)
    if spec.mode == "routed":
        return [*found, Element("inet", "routed", (bridge,), (), bridge)]
    return [*found, *_sources(spec)]


def _sources6(spec: NetworkSpec) -> list[Element]:
    bridge = spec.bridge
    if spec.ipv6 == "off":
        return []
    if spec.ipv6 == "routed":
        return [Element("inet", "routed6", (bridge,), (), bridge)]
    if spec.source_address6 is None:
        return [Element("inet", "masq6", (bridge,), (), bridge)]
    return [Element("inet", "snat6", (bridge,), (str(IPv6Address(spec.source_address6)),), bridge)]


def _sources(spec: NetworkSpec) -> list[Element]:
    """A pool has an element per guest, and one for an address that nobody has reserved. A forward
    that has its guest leave by the public address comes before both."""
    bridge = spec.bridge
    chosen = {guest: public for guest, public in own_sources(spec).items() if ":" not in guest}
    source = spec.source_address
    if spec.source_pool:
        pooled = {r.address: _of_pool(spec, r.address) for r in spec.reservations}
        chosen = pooled | chosen
        source = min(spec.source_pool, key=IPv4Address)
    found = [
        Element("inet", "snat_pool", (bridge, guest), (public,), bridge)
        for guest, public in chosen.items()
    ]
    return [*found, _source(bridge, source)]


def _source(bridge: str, address: str | None) -> Element:
    if address is None:
        return Element("inet", "masq", (bridge,), (), bridge)
    return Element("inet", "snat4", (bridge,), (str(IPv4Address(address)),), bridge)


def _of_pool(spec: NetworkSpec, guest: str) -> str:
    """The guest's address of the pool, by the highest hash of both: another address in the pool
    moves its share of the guests to itself, one that leaves moves its own, all others stay."""

    def weight(address: str) -> bytes:
        return hashlib.sha256(f"{spec.bridge} {guest} {address}".encode()).digest()

    return max(spec.source_pool, key=weight)


def _reservation_elements(spec: NetworkSpec, reservation: ReservationSpec) -> list[Element]:
    if not reservation.port:
        return []
    mac = reservation.mac.lower()
    if spec.mode == "bridged":
        return _bridged_elements(spec, reservation, mac)
    found = [
        Element("bridge", "own4", (reservation.port, mac, reservation.address), (), spec.bridge),
        Element("bridge", "own_mac", (reservation.port, mac), (), spec.bridge),
    ]
    if spec.logs:
        found.append(Element("bridge", LOGGED, (reservation.port,), (), spec.bridge))
    if reservation.inbound or spec.inbound:
        rules = spec.inbound + reservation.inbound
        found += inbound_elements(spec.bridge, reservation.address, rules)
        if spec.ipv6 != "off" and reservation.address6:
            found += inbound_elements(spec.bridge, reservation.address6, rules)
    if spec.guests_apart:
        found.append(Element("bridge", "apart", (reservation.port,), (), spec.bridge))
    if spec.ipv6 != "off" and reservation.address6:
        found += _own6(spec.bridge, reservation.port, mac, reservation.address6)
    speeds = reservation.max_down, reservation.max_up
    return [*found, *_speed_elements("bridge", "guest", reservation.port, speeds, spec.bridge)]


def _bridged_elements(spec: NetworkSpec, reservation: ReservationSpec, mac: str) -> list[Element]:
    """What a guest on a bridge of the host's owner is tied to; by macvtap it passes us by."""
    if spec.attached_to != "bridge":
        return []
    port, owner = reservation.port, spec.bridge
    found = [
        Element("bridge", "own_mac", (port, mac), (), owner),
        Element("bridge", "bridged", (port,), (), owner),
    ]
    if spec.guests_apart:
        found.append(Element("bridge", "apart", (port,), (), owner))
    if spec.logs:
        found.append(Element("bridge", LOGGED, (port,), (), owner))
    if spec.guarded:
        found.append(Element("bridge", "guarded", (port,), (), owner))
        found += let_elements(port, spec.inbound + reservation.inbound, owner)
    speeds = reservation.max_down, reservation.max_up
    return [*found, *_speed_elements("bridge", "guest", port, speeds, owner)]


def _speed_elements(
    family: Family, what: str, interface: str, speeds: tuple[int, int], owner: str
) -> list[Element]:
    """What limits an interface to this many bytes per second down to guests and up from them."""
    return [
        Element(family, f"{what}_{way}", (interface,), (speed,), owner)
        for way, speed in zip(("down", "up"), speeds, strict=True)
        if speed
    ]


class Door(NamedTuple):
    """Where packets of a forward are led: the map, its key and its value."""

    name: str
    key: tuple[Field, ...]
    value: tuple[Field, ...]


def doors(forward: ForwardSpec) -> Iterator[Door]:
    """A range that keeps the port is one door, one that shifts it a door for each port: the kernel
    does not keep a shift (`dnat to address:first-last` picks any of them)."""
    public, first = forward.public_address, forward.public_port
    name = "fwd6" if ":" in public else "fwd4"
    if forward.protocol == "all":
        yield Door("whole4", (public,), (forward.address,))
    elif forward.ports > 1 and forward.port == first and name == "fwd4":
        protocol = PROTOCOLS[forward.protocol]
        key = f"{first}-{first + forward.ports - 1}", f"{public}-{public}", f"{protocol}-{protocol}"
        yield Door("rng4", key, (forward.address,))
    else:
        for at in range(forward.ports):
            place = public, forward.protocol, first + at
            yield Door(name, place, (forward.address, forward.port + at))


def _own6(bridge: str, port: str, mac: str, address: str) -> list[Element]:
    addresses = (str(IPv6Address(address)), str(interface_address(LINK_LOCAL, mac)))
    return [
        Element("bridge", name, (port, mac, each), (), bridge)
        for name in ("own6", "own_nd")
        for each in addresses
    ]


def _forward_elements(spec: NetworkSpec, forward: ForwardSpec) -> list[Element]:
    number = (forward.number,)
    found = []
    for name, key, value in doors(forward):
        found.append(Element("inet", name, key, value, spec.bridge))
        found.append(Element("inet", DOORS[name], key, number, spec.bridge))
    if forward.protocol == "all":
        found.append(Element("inet", "whole", number, (), spec.bridge))
    return [
        *found,
        Element("inet", "acct_in", number, (), spec.bridge),
        Element("inet", "acct_out", number, (), spec.bridge),
        Element("inet", "acct_new", number, (), spec.bridge),
        *_source_elements(spec, forward),
        *_limit_elements(spec, forward),
    ]


def allowed_sources(
    spec: NetworkSpec, forward: ForwardSpec
) -> tuple[IPv4Network | IPv6Network, ...]:
    """Who may use the forward, as its packets show it where they are judged; none means anyone.

    Guests of the forward's own network come by the network's public address, but are seen there
    with their own: they may if that address may.
    """
    allowed = [ip_network(source) for source in forward.sources]
    ways = ((spec.source_address, spec.subnet), (spec.source_address6, spec.subnet6))
    for source, subnet in ways:
        if source and any(ip_address(source) in each for each in allowed):
            allowed.append(ip_network(subnet))
    return tuple(allowed)


def _source_elements(spec: NetworkSpec, forward: ForwardSpec) -> list[Element]:
    allowed = allowed_sources(spec, forward)
    if not allowed:
        return []
    found = [Element("inet", name, (forward.number,), (), spec.bridge) for name in _RESTRICTED]
    for network in allowed:
        if isinstance(network, IPv6Network):
            ends = f"{network.network_address}-{network.broadcast_address}"
            mark = f"{forward.number}-{forward.number}"
            found.append(Element("inet", "src6", (mark, ends), (), spec.bridge))
            continue
        length = -(-network.prefixlen // 4) * 4 or 4
        found += [
            Element(
                "inet",
                SOURCE_SETS[length],
                (forward.number, str(part.network_address)),
                (),
                spec.bridge,
            )
            for part in network.subnets(new_prefix=length)
        ]
    return found


def _limit_elements(spec: NetworkSpec, forward: ForwardSpec) -> list[Element]:
    number = (forward.number,)
    found: list[Element] = []
    if forward.connections:
        found.append(Element("inet", "max_conn", number, (forward.connections,), spec.bridge))
    if forward.rate:
        limit = (forward.rate, forward.burst or forward.rate)
        found.append(Element("inet", "max_rate", number, limit, spec.bridge))
    return found


_RESTRICTED = ("restricted", "sifted")
