"""IPv6 subnets of networks: read what a person typed, find a free one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import AddressValueError, IPv6Network, NetmaskValueError

from kvmweb.core.errors import Conflict, Invalid
from kvmweb.core.ipv6 import SUBNET_PREFIX

# RFC 4193.
LOCAL = IPv6Network("fd00::/8")

Taken = tuple[IPv6Network, str]


def parse_local(text: str) -> IPv6Network:
    """A private /64, or Invalid."""
    subnet = _parse(text)
    if not subnet.subnet_of(LOCAL):
        raise _invalid(
            f"{subnet} is not private.", remedy="Leave it empty, or use a /64 of fd00::/8."
        )
    return subnet


def parse_routed(text: str, routed: Iterable[IPv6Network]) -> IPv6Network:
    """A /64 of what is routed to the host, or Invalid."""
    subnet, prefixes = _parse(text), list(routed)
    if not any(subnet.subnet_of(prefix) for prefix in prefixes):
        blocks = " or ".join(map(str, prefixes))
        raise _invalid(
            f"{subnet} is not routed to this host.",
            remedy=f"Leave it empty, or use a /64 of {blocks}." if blocks else _ASK,
        )
    return subnet


def refuse_overlap(subnet: IPv6Network, taken: Iterable[Taken]) -> None:
    """Raise Conflict when the subnet shares addresses with anything taken."""
    for other, words in taken:
        if subnet.overlaps(other):
            raise Conflict(
                f"{subnet} overlaps {words}.",
                field="ipv6_subnet",
                code="subnet_overlaps",
                remedy="Choose another subnet, or leave it empty to get a free one.",
            )


def propose(blocks: Iterable[IPv6Network], taken: Iterable[Taken]) -> IPv6Network:
    """The first free /64 of these blocks; the very first of a wide one is left to its router."""
    others = [network for network, _ in taken]
    for candidate in _candidates(blocks):
        if not any(candidate.overlaps(other) for other in others):
            return candidate
    raise Conflict(
        "No IPv6 subnet is free on this host.",
        field="ipv6",
        code="no_prefix",
        remedy=_ASK,
    )


def _candidates(blocks: Iterable[IPv6Network]) -> Iterator[IPv6Network]:
    for block in blocks:
        subnets = block.subnets(new_prefix=SUBNET_PREFIX)
        if block.prefixlen < SUBNET_PREFIX:
            next(subnets)
        yield from subnets


def _parse(text: str) -> IPv6Network:
    try:
        subnet = IPv6Network(text.strip())
    except (AddressValueError, NetmaskValueError, ValueError):
        raise _invalid(f"“{text[:50]}” is not an IPv6 subnet.") from None
    if subnet.prefixlen != SUBNET_PREFIX:
        raise _invalid(f"{subnet} is no /64, which guests need to make their addresses.")
    return subnet


def _invalid(message: str, remedy: str = "For example: fd12:3456:789a:1::/64.") -> Invalid:
    return Invalid(message, field="ipv6_subnet", code="invalid_subnet", remedy=remedy)


_ASK = "Ask an operator for a prefix that is routed to the host."
