"""What one network is told: its own guests' names, both ways; the rest is for upstream. Pure.

A name of the network's own domain never leaves the host, known or not, and neither does an address
of its subnets nor a bare name: nobody outside could answer, and nobody outside should be asked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from networks.host.resolver import wire
from networks.host.resolver.wire import Address, Labels, Query

Subnet: TypeAlias = IPv4Network | IPv6Network

_REVERSE: dict[Labels, int] = {(b"in-addr", b"arpa"): 4, (b"ip6", b"arpa"): 32}


@dataclass(frozen=True, slots=True)
class Zone:
    """A network to its name server. `listen` are the addresses its guests ask at, `subnets` those
    the host knows it by, `inside` those that guests alone know.

    Questions for others go to `upstreams`, by default the host's own; with `forward` off to nobody.
    """

    bridge: str
    listen: tuple[str, ...]
    subnets: tuple[Subnet, ...]
    inside: tuple[Subnet, ...]
    domain: Labels
    forward: bool
    upstreams: tuple[str, ...]
    names: dict[bytes, tuple[Address, ...]]
    owners: dict[Address, bytes]


def read(text: str) -> Zone:
    """A zone from its file. Raises ValueError, KeyError or TypeError for what is none."""
    data = json.loads(text)
    names = {
        name.lower().encode(): tuple(ip_address(each) for each in found)
        for name, found in data["names"].items()
    }
    return Zone(
        bridge=data["bridge"],
        listen=tuple(data["listen"]),
        subnets=tuple(ip_network(each) for each in data["subnets"]),
        inside=tuple(ip_network(each) for each in data.get("inside", ())),
        domain=wire.labels(data["domain"]),
        forward=bool(data["forward"]),
        upstreams=tuple(data["upstreams"]),
        names=names,
        owners={address: name for name, found in names.items() for address in found},
    )


def answer(zone: Zone, query: Query) -> bytes | None:
    """The answer from what the network itself knows; None where upstream is to be asked."""
    if query.domain != wire.INTERNET or query.kind in wire.TRANSFERS:
        return wire.answer(query, wire.REFUSED)
    if _is_within(query.name, zone.domain):
        return _forward_lookup(zone, query, query.name[: -len(zone.domain)])
    if len(query.name) == 1 and query.kind in (wire.A, wire.AAAA, wire.ANY):
        return _forward_lookup(zone, query, query.name)
    address = _reversed(query.name)
    if address is not None and any(address in subnet for subnet in (*zone.subnets, *zone.inside)):
        return _reverse_lookup(zone, query, address)
    return None if zone.forward else wire.answer(query, wire.REFUSED)


def _forward_lookup(zone: Zone, query: Query, host: Labels) -> bytes:
    authority = wire.start_of_authority(zone.domain)
    if not host:
        own = [authority] if query.kind in (wire.SOA, wire.ANY) else []
        return wire.answer(query, wire.NO_ERROR, own, [] if own else [authority])
    found = zone.names.get(host[0]) if len(host) == 1 else None
    if found is None:
        return wire.answer(query, wire.NO_SUCH_NAME, authority=[authority])
    records = wire.addresses(found, query.kind)
    return wire.answer(query, wire.NO_ERROR, records, [] if records else [authority])


def _reverse_lookup(zone: Zone, query: Query, address: Address) -> bytes:
    authority = wire.start_of_authority(query.name[1:])
    name = zone.owners.get(address)
    if name is None:
        return wire.answer(query, wire.NO_SUCH_NAME, authority=[authority])
    if query.kind not in (wire.PTR, wire.ANY):
        return wire.answer(query, wire.NO_ERROR, authority=[authority])
    return wire.answer(query, wire.NO_ERROR, [wire.pointer((name, *zone.domain))])


def _is_within(name: Labels, domain: Labels) -> bool:
    return name[-len(domain) :] == domain


def _reversed(name: Labels) -> Address | None:
    """The address whose name is asked for (RFC 1035, section 3.5; RFC 3596, section 2.5)."""
    parts = name[:-2]
    if len(parts) != _REVERSE.get(name[-2:], 0):
        return None
    digits = [part.decode(errors="replace") for part in reversed(parts)]
    try:
        if len(digits) == 4:
            return ip_address(".".join(digits))
        return ip_address(":".join("".join(digits[at : at + 4]) for at in range(0, len(digits), 4)))
    except ValueError:
        return None
