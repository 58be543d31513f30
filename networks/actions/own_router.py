"""What a network with a router of its own may be and have."""

from __future__ import annotations

from ipaddress import IPv4Network

from kvmweb.core.errors import Conflict, Invalid
from kvmweb.hosts.facts import public_networks, transit_block
from kvmweb.hosts.models import Host
from networks import subnets
from networks.models import Network

_CHOICE = "Choose another mode, or make a network without a router of its own."


def refuse_routed(mode: str, field: str) -> None:
    """The outside cannot be led to a subnet that there may be several of."""
    if mode == Network.Mode.ROUTED:
        raise Invalid(
            "Guests of a routed network are seen outside by their own addresses, and those of a"
            " network with a router of its own may be others' too.",
            field=field,
            code="own_router_not_routed",
            remedy=_CHOICE,
        )


def refuse_ipv6(network: Network) -> None:
    """Its router translates IPv4 alone."""
    if network.own_router:
        raise Conflict(
            f"Network “{network}” has a router of its own, which passes on IPv4 alone.",
            field="ipv6",
            code="own_router_without_ipv6",
            remedy="Make a network without a router of its own: IPv6 subnets never overlap.",
        )


def refuse_peers(network: Network, field: str) -> None:
    """Peers know each other by their own addresses."""
    if network.own_router:
        raise Conflict(
            f"Network “{network}” has a router of its own: guests of another network could not"
            " tell its addresses from their own.",
            field=field,
            code="own_router_without_peers",
            remedy="Open a forward, or use networks without a router of their own.",
        )


def own_router_remedy(mode: str) -> str:
    """What else to do about a subnet that something on the host has already."""
    if mode == Network.Mode.ROUTED:
        return ""
    return " With a router of its own (own_router) the network may have this one all the same."


def reserved(host: Host) -> list[subnets.Taken]:
    """What no network of the host may have an address of, whatever its router."""
    block = transit_block(host)
    words = f"{block}, by which the host knows networks with a router of their own"
    return [*public_networks(host), (block, words)]


def transit(host: Host, subnet: IPv4Network, taken: list[subnets.Taken]) -> IPv4Network:
    """The subnet by which the host is to know a network, as large as its own."""
    block = transit_block(host)
    found = subnets.free_part(block, subnet.prefixlen, taken)
    if found is None:
        raise Conflict(
            f"The host has no /{subnet.prefixlen} of {block} left to know this network by.",
            field="own_router",
            code="transit_full",
            remedy="Choose a smaller subnet, or ask an operator for a larger block on the host.",
        )
    return found
