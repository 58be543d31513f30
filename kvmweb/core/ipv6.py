"""IPv6 addresses that follow from something else. Pure.

A guest makes its addresses from its MAC (RFC 4291, appendix A), which is what systems do with a
prefix that a router announces unless they are told to hide: so the address is known here before the
guest runs, whatever it runs.
"""

from __future__ import annotations

import secrets
from ipaddress import IPv6Address, IPv6Network

LINK_LOCAL = IPv6Network("fe80::/64")
GATEWAY_LINK_LOCAL = "fe80::1"
"""What guests of every network know their router by; an address of a link is good on it alone."""

SUBNET_PREFIX = 64
SMALLEST_MTU = 1280
"""Bytes, RFC 8200, section 5."""

LOCAL_PREFIX = 48
_LOCAL = IPv6Network("fd00::/8")


def interface_address(prefix: IPv6Network, mac: str) -> IPv6Address:
    """The address that an interface with this MAC makes itself in a /64."""
    octets = bytes.fromhex(mac.replace(":", ""))
    identifier = bytes([octets[0] ^ 0x02]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return IPv6Address(prefix.network_address.packed[:8] + identifier)


def new_local_prefix() -> IPv6Network:
    """A random /48 for the networks of one installation (RFC 4193, section 3.2)."""
    return IPv6Network((_LOCAL.network_address.packed[:1] + secrets.token_bytes(5) + bytes(10), 48))
