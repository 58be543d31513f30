"""Domains and name servers that people may choose for a network."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from kvmweb.core.errors import Conflict, Invalid
from networks.inbound import IpNetwork

Place = tuple[IpNetwork, str]
MOST_SERVERS = 4
_LONGEST_DOMAIN = 190
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def parse_domain(text: str) -> str:
    """A domain in lower case without the dot at its end; empty stays empty. Raises Invalid."""
    domain = text.strip().lower().rstrip(".")
    labels = domain.split(".") if domain else []
    if len(domain) > _LONGEST_DOMAIN or not all(_LABEL.fullmatch(label) for label in labels):
        raise Invalid(
            "A domain has labels of a-z, 0-9 and -, with dots between them.",
            field="dns_domain",
            code="invalid_domain",
            remedy="For example: office.internal.",
        )
    return domain


def parse_servers(texts: Iterable[str]) -> list[str]:
    """Addresses of name servers, each once. Raises Invalid for what a guest could not reach."""
    servers = list(dict.fromkeys(str(_parse_server(text)) for text in texts if text.strip()))
    if len(servers) > MOST_SERVERS:
        raise Invalid(f"Name at most {MOST_SERVERS} DNS servers.", field="dns_servers")
    return servers


def _parse_server(text: str) -> IPv4Address | IPv6Address:
    try:
        address = ip_address(text.strip())
    except ValueError:
        raise Invalid(
            f"“{text.strip()[:50]}” is not an IP address.",
            field="dns_servers",
            remedy="For example: 9.9.9.9.",
        ) from None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    for each in (address, mapped or address):
        if each.is_loopback or each.is_link_local or each.is_multicast or each.is_unspecified:
            raise Invalid(f"{address} is no address of a DNS server.", field="dns_servers")
    return mapped or address


def refuse_foreign(servers: Iterable[str], taken: Iterable[Place]) -> None:
    """Raise Conflict for a server in what is another's: the host would ask it in its own name."""
    others = list(taken)
    for server in servers:
        address = ip_address(server)
        for subnet, words in others:
            if address in subnet:
                raise Conflict(
                    f"{server} is {words}, which is no name server for its guests.",
                    field="dns_servers",
                    code="server_unreachable",
                )
