"""Subnets: read what a person typed, say exactly what is wrong with it, find a free one.

Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from kvmweb.core.errors import Conflict, Invalid

# RFC 1918.
PRIVATE = tuple(IPv4Network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
LONGEST_PREFIX = 29
SHORTEST_PREFIX = 16
# Proposed subnets are taken from here, a /24 at a time.
PROPOSED_FROM = IPv4Network("10.60.0.0/14")
_PROPOSED_PREFIX = 24
_PROPOSED_SIZE = 1 << 32 - _PROPOSED_PREFIX
_PROPOSED = PROPOSED_FROM.num_addresses // _PROPOSED_SIZE

Taken = tuple[IPv4Network, str]
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
# Nobody's, and those of our bridges (`names.bridge_mac`).
_NO_GUESTS = ("00:00:00:00:00:00", "56:00:")


def parse_subnet(text: str, routed: Iterable[IPv4Network] = ()) -> IPv4Network:
    """The IPv4 subnet in `text` (CIDR), private or part of one that is `routed` to the host, or
    Invalid naming what is wrong and what would be right.
    """
    address, _, prefix = text.strip().partition("/")
    try:
        IPv4Address(address)
    except AddressValueError:
        raise _invalid(f"“{text[:40]}” is not an IPv4 subnet.") from None
    if not re.fullmatch(r"[0-9]{1,2}", prefix) or int(prefix) > 32:
        raise _invalid(f"“{text[:40]}” lacks a prefix length between 0 and 32.")
    subnet = IPv4Network((address, int(prefix)), strict=False)
    if str(subnet.network_address) != address:
        raise _invalid(
            f"{address}/{prefix} is an address inside a subnet.", remedy=f"Did you mean {subnet}?"
        )
    _refuse_unfit(subnet, tuple(routed))
    return subnet


def _refuse_unfit(subnet: IPv4Network, routed: tuple[IPv4Network, ...]) -> None:
    if not any(subnet.subnet_of(usable) for usable in (*PRIVATE, *routed)):
        raise _invalid(
            f"{subnet} is neither private nor routed to this host."
            if routed
            else f"{subnet} is not private.",
            remedy=f"Use a part of {_words([*PRIVATE, *routed])}.",
        )
    if subnet.prefixlen > LONGEST_PREFIX:
        raise _invalid(f"{subnet} is too small.", remedy=f"Use /{LONGEST_PREFIX} or larger.")
    if subnet.prefixlen < SHORTEST_PREFIX:
        raise _invalid(f"{subnet} is too large.", remedy=f"Use /{SHORTEST_PREFIX} or smaller.")


def _words(blocks: list[IPv4Network]) -> str:
    *most, last = map(str, blocks)
    return f"{', '.join(most)} or {last}"


def refuse_overlap(subnet: IPv4Network, taken: Iterable[Taken], remedy: str = "") -> None:
    """Raise Conflict when `subnet` shares even one address with anything taken. `remedy` is what
    else may be done about it."""
    for other, words in taken:
        if subnet.overlaps(other):
            raise Conflict(
                f"{subnet} overlaps {words}.",
                field="ipv4_subnet",
                code="subnet_overlaps",
                remedy=f"Choose another subnet, or leave it empty to get a free one.{remedy}",
            )


def free_part(block: IPv4Network, prefix: int, taken: Iterable[Taken]) -> IPv4Network | None:
    """The first part of `block` with this prefix that overlaps nothing taken; None without one."""
    size = 1 << 32 - prefix
    at, last = int(block.network_address), int(block.broadcast_address)
    ends = (
        (int(network.network_address), int(network.broadcast_address))
        for network, _ in taken
        if network.overlaps(block)
    )
    for first, end in sorted(ends):
        if first >= at + size:
            break
        at = max(at, (end // size + 1) * size)
    return IPv4Network((at, prefix)) if at + size - 1 <= last else None


def propose(taken: Iterable[Taken]) -> IPv4Network:
    """The first /24 of PROPOSED_FROM that overlaps nothing taken."""
    free = set(range(_PROPOSED))
    for network, _ in taken:
        free.difference_update(_proposals_in(network))
    if free:
        first = int(PROPOSED_FROM.network_address) + min(free) * _PROPOSED_SIZE
        return IPv4Network((first, _PROPOSED_PREFIX))
    raise Conflict(
        "All subnets that would be proposed are taken.",
        field="ipv4_subnet",
        remedy="Type a subnet yourself.",
    )


def _proposals_in(network: IPv4Network) -> range:
    """The numbers of the proposals that share an address with `network`. With hundreds of networks
    on a host, comparing each with each would take longer than everything else."""
    base = int(PROPOSED_FROM.network_address)
    first = (int(network.network_address) - base) // _PROPOSED_SIZE
    last = (int(network.broadcast_address) - base) // _PROPOSED_SIZE
    return range(max(first, 0), min(last + 1, _PROPOSED))


def free_address(
    subnet: IPv4Network,
    taken: Iterable[str],
    first: str | None = None,
    last: str | None = None,
) -> IPv4Address:
    """The lowest address for a guest, from `first` to `last` where these are said.

    Not the network's, the gateway's, the broadcast one, nor taken.
    """
    used = {IPv4Address(address) for address in taken}
    low = IPv4Address(first) if first else subnet.network_address + 2
    high = IPv4Address(last) if last else subnet.broadcast_address - 1
    for number in range(int(low), int(high) + 1):
        if (address := IPv4Address(number)) not in used:
            return address
    raise Conflict(
        f"All addresses from {low} to {high} are taken.", field="network", code="subnet_full"
    )


def parse_address(text: str, subnet: IPv4Network) -> IPv4Address:
    """An address that a guest in `subnet` may have, or Invalid."""
    try:
        address = IPv4Address(text.strip())
    except AddressValueError:
        raise Invalid(f"“{text[:40]}” is not an IPv4 address.", field="address") from None
    first, last = subnet.network_address + 2, subnet.broadcast_address - 1
    if not first <= address <= last:
        raise Invalid(
            f"{address} cannot be a guest's address in {subnet}.",
            field="address",
            remedy=f"Use {first} to {last}.",
        )
    return address


def parse_mac(text: str) -> str:
    """A unicast MAC address in lower case with colons, or Invalid."""
    mac = text.strip().lower().replace("-", ":")
    if not _MAC.fullmatch(mac) or int(mac[:2], 16) & 1 or mac.startswith(_NO_GUESTS):
        raise Invalid(
            f"“{text[:40]}” is not a MAC address a guest can have.",
            field="mac",
            remedy="For example: 52:54:00:12:34:56.",
        )
    return mac


def _invalid(message: str, *, remedy: str = "For example: 10.60.0.0/24.") -> Invalid:
    return Invalid(message, field="ipv4_subnet", code="invalid_subnet", remedy=remedy)
