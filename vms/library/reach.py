"""Which addresses the library may fetch from. Pure but for the question what this machine holds.

Somebody who names a URL must not get to see what only the panel's machine can reach.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from vms.library.spec import Reach

Address = IPv4Address | IPv6Address
# Addresses that carry an IPv4 address and are routed to it: NAT64 (RFC 6052, RFC 8215), 6to4,
# Teredo; and IPv4-compatible ones (RFC 4291, deprecated).
_CARRIERS = tuple(
    map(ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96"))
)


def refusal(text: str, reach: Reach, *, name: str) -> str:
    """Why `text`, an address of `name`, may not be asked; empty when it may."""
    address = _plain(ip_address(text))
    if _within(address, reach.allowed):
        return ""
    if not address.is_global or address.is_multicast or _within(address, _CARRIERS):
        return f"{name} has the address {text}, which is not a public one."
    if _within(address, reach.forbidden) or is_ours(str(address)):
        return f"{name} has the address {text}, which is one of the panel's own networks."
    return ""


def is_ours(address: str) -> bool:
    """Whether this machine holds `address`: only then a socket can be bound to it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def _plain(address: Address) -> Address:
    """The IPv4 address in an IPv4-mapped one."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _within(address: Address, networks: object) -> bool:
    return any(
        address in network
        for network in map(ip_network, networks)  # type: ignore[call-overload]
        if network.version == address.version
    )
