"""Who may come to a guest that is reachable as a whole: rules as people write them. Pure.

Everything is closed but for what a rule opens, so rules have no order and never contradict.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import TypeAlias

from kvmweb.core.errors import Invalid
from networks.limits import MOST_SOURCES

IpNetwork: TypeAlias = IPv4Network | IPv6Network

PROTOCOLS = ("tcp", "udp", "icmp", "any")
WITH_PORTS = ("tcp", "udp")
ALL_PORTS = (1, 65535)
ANYONE = ("0.0.0.0/0", "::/0")
_PORTS = re.compile(r"([0-9]{1,5})(?:\s*[-–:]\s*([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class RuleText:
    """One rule as typed: `ports` is "443", "8000-8100" or empty for all; no sources is anyone."""

    protocol: str
    ports: str = ""
    sources: tuple[str, ...] = ()
    address_set: str | None = None
    note: str = ""


def parse_ports(protocol: str, text: str) -> tuple[int, int] | None:
    """First and last port; None for a protocol without ports. Raises Invalid."""
    typed = text.strip()
    if protocol not in WITH_PORTS:
        if typed:
            raise Invalid("Only TCP and UDP have ports.", field="ports", remedy="Leave it empty.")
        return None
    if not typed:
        return ALL_PORTS
    found = _PORTS.fullmatch(typed)
    first = int(found[1]) if found else 0
    last = int(found[2] or found[1]) if found else 0
    if not 1 <= first <= last <= ALL_PORTS[1]:
        raise Invalid(
            f"“{typed[:40]}” is no port and no range of ports.",
            field="ports",
            remedy="For example: 443, or 8000-8100; empty means all.",
        )
    return first, last


def parse_networks(texts: Iterable[str], *, field: str) -> list[str]:
    """Addresses and networks of either family in CIDR notation, sorted, none inside another."""
    found = [_parse_network(text.strip(), field) for text in texts if text.strip()]
    if len(found) > MOST_SOURCES:
        raise Invalid(f"These are more than {MOST_SOURCES} networks.", field=field)
    return [str(network) for network in collapsed(found)]


def collapsed(networks: Iterable[IpNetwork]) -> list[IpNetwork]:
    """The same addresses in as few networks as can be, IPv4 first."""
    every = list(networks)
    four = collapse_addresses(each for each in every if isinstance(each, IPv4Network))
    six = collapse_addresses(each for each in every if isinstance(each, IPv6Network))
    return [*four, *six]


def _parse_network(text: str, field: str) -> IpNetwork:
    try:
        return ip_network(text, strict=False)
    except ValueError as error:
        raise Invalid(
            f"“{text[:50]}” is no address and no network.",
            field=field,
            remedy="For example: 198.51.100.7, 198.51.100.0/24 or 2001:db8::/32.",
        ) from error


def ports_text(ports: tuple[int, int] | None) -> str:
    """As a person would write it; empty for all."""
    if ports is None or ports == ALL_PORTS:
        return ""
    first, last = ports
    return str(first) if first == last else f"{first}-{last}"
