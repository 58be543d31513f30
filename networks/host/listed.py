"""Where guests may go, and who may come to them, as elements that are ranges. Pure.

The kernel refuses a range that begins inside another one of its set (nft_set_pipapo.c), and people
write lists that overlap. So the list is cut along its addresses into ranges that do not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_network
from itertools import pairwise

from networks.host.elements import Element, Family
from networks.host.spec import EgressSpec, InboundSpec, ListedSpec

NUMBERS = {"icmp": 1, "tcp": 6, "udp": 17}
ICMP6 = 58
_ALL_PROTOCOLS = (0, 255)

Range = tuple[int, int]
Box = tuple[Range, Range]


def listed_elements(
    names: tuple[str, str],
    first: str,
    rules: Iterable[ListedSpec],
    owner: str,
    version: int = 4,
    *,
    family: Family = "inet",
) -> list[Element]:
    """What `rules` list of one family, as elements of two sets: one for all of a protocol, one for
    its ports. `first` is the first field of every key."""
    listed = [rule for rule in rules if (":" in rule.cidr) == (version == 6)]
    everything, some_ports = names
    shown = _network if version == 4 else _network6
    whole = [(_addresses(rule), _protocols(rule, version)) for rule in listed if _is_whole(rule)]
    found = [
        Element(family, everything, (first, _text(second), shown(addresses)), (), owner)
        for addresses, second in disjoint(whole)
    ]
    for protocol in ("tcp", "udp"):
        ports = [
            (_addresses(rule), (rule.first_port, rule.last_port))
            for rule in listed
            if rule.protocol == protocol and not _is_whole(rule)
        ]
        number = f"{NUMBERS[protocol]}-{NUMBERS[protocol]}"
        found += [
            Element(family, some_ports, (first, number, _text(second), shown(each)), (), owner)
            for each, second in disjoint(ports)
        ]
    return found


def egress_elements(bridge: str, rules: Iterable[EgressSpec]) -> list[Element]:
    """The elements that let the guests of `bridge` go where `rules` say."""
    listed = list(rules)
    return [
        *listed_elements(("egress_all", "egress_ports"), bridge, listed, bridge),
        *listed_elements(("egress_all6", "egress_ports6"), bridge, listed, bridge, 6),
    ]


def inbound_elements(bridge: str, address: str, rules: Iterable[InboundSpec]) -> list[Element]:
    """The elements that let the outside come to the guest at `address` as `rules` say."""
    first = f"{address}-{address}"
    if ":" in address:
        return listed_elements(("open_all6", "open_ports6"), first, rules, bridge, 6)
    return listed_elements(("open_all", "open_ports"), first, rules, bridge)


def let_elements(port: str, rules: Iterable[InboundSpec], owner: str) -> list[Element]:
    """The elements that let frames through to the guest port `port` of a bridged network."""
    listed = list(rules)
    return [
        *listed_elements(("let_all", "let_ports"), port, listed, owner, family="bridge"),
        *listed_elements(("let_all6", "let_ports6"), port, listed, owner, 6, family="bridge"),
    ]


def permits(
    rules: Iterable[ListedSpec], protocol: int, address: IPv4Address | IPv6Address, port: int
) -> bool:
    """Whether a connection to (or from) this address is listed."""
    return any(
        address in ip_network(rule.cidr)
        and rule.protocol in ("any", _name(protocol))
        and (_is_whole(rule) or rule.first_port <= port <= rule.last_port)
        for rule in rules
    )


def disjoint(boxes: Iterable[Box]) -> Iterator[Box]:
    """The same area as `boxes` in boxes that do not overlap: cut along the first side, with all
    that meets there on the second."""
    begins: dict[int, list[Range]] = defaultdict(list)
    ends: dict[int, list[Range]] = defaultdict(list)
    for (first, last), second in boxes:
        begins[first].append(second)
        ends[last + 1].append(second)
    strips: list[tuple[Range, tuple[Range, ...]]] = []
    there: list[Range] = []
    for low, after in pairwise(sorted(begins.keys() | ends.keys())):
        there += begins.get(low, ())
        for over in ends.get(low, ()):
            there.remove(over)
        seconds = merged(there)
        if strips and strips[-1][1] == seconds and strips[-1][0][1] == low - 1:
            low = strips.pop()[0][0]  # noqa: PLW2901
        strips.append(((low, after - 1), seconds))
    for strip, seconds in strips:
        for second in seconds:
            yield strip, second


def merged(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Ranges that neither overlap nor touch, with the numbers of all."""
    found: list[Range] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return tuple(found)


def _is_whole(rule: ListedSpec) -> bool:
    """Whether it is about all that the protocol may carry, and not about some ports."""
    return rule.last_port == 0


def _addresses(rule: ListedSpec) -> Range:
    network = ip_network(rule.cidr)
    return int(network.network_address), int(network.broadcast_address)


def _protocols(rule: ListedSpec, version: int) -> Range:
    number = NUMBERS.get(rule.protocol)
    if rule.protocol == "icmp" and version == 6:
        number = ICMP6
    return _ALL_PROTOCOLS if number is None else (number, number)


def _name(number: int) -> str:
    if number == ICMP6:
        return "icmp"
    return next((name for name, known in NUMBERS.items() if known == number), "")


def _text(numbers: Range) -> str:
    return f"{numbers[0]}-{numbers[1]}"


def _network6(addresses: Range) -> str:
    return f"{IPv6Address(addresses[0])}-{IPv6Address(addresses[1])}"


def _network(addresses: Range) -> str:
    return f"{IPv4Address(addresses[0])}-{IPv4Address(addresses[1])}"
