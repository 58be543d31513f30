"""What a change of elements means, in a sentence for people. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from networks.host.elements import DOORS, PROTOCOLS, Element

_LISTED = 3


def changed(add: frozenset[Element], remove: frozenset[Element]) -> str:
    """What is added and taken away, in one sentence."""
    parts = [
        _forwards("Closed", remove - add),
        _forwards("Opened", add - remove),
        _sources(add),
        *_ways(add - remove, remove - add),
        _ties("Tied", "to", add),
        _ties("Freed", "from", remove - add),
        _speeds(add | remove),
        _counters(add),
    ]
    said = [part for part in parts if part] or ["Updated the rules of the network"]
    return "; ".join([said[0], *(part[0].lower() + part[1:] for part in said[1:])])


def _forwards(verb: str, elements: Iterable[Element]) -> str:
    changed = [e for e in elements if e.name in DOORS]
    if len(changed) > _LISTED:
        return f"{verb} {len(changed)} port forwards"
    lines = [_door(element) for element in sorted(changed)]
    return f"{verb} {', '.join(lines)}" if lines else ""


def _door(element: Element) -> str:
    if element.name == "whole4":
        return f"all of {element.key[0]} to {element.value[0]}"
    if element.name == "rng4":
        ports, place, kind = (str(field) for field in element.key)
        word = "UDP" if kind.startswith(f"{PROTOCOLS['udp']}-") else "TCP"
        return f"{word} {place.partition('-')[0]}:{ports} to {element.value[0]}"
    (public, protocol, port), (address, target) = element.key, element.value
    return f"{str(protocol).upper()} {_end(public, port)} to {_end(address, target)}"


def _end(address: object, port: object) -> str:
    return f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"


def _sources(elements: frozenset[Element]) -> str:
    pool = {str(element.value[0]) for element in elements if element.name == "snat_pool"}
    if pool:
        return f"Guests go out as {', '.join(sorted(pool))}"
    for element in elements:
        if element.name in {"snat4", "snat6"}:
            return f"Guests of bridge {element.key[0]} go out as {element.value[0]}"
        if element.name in {"masq", "masq6"}:
            return f"Guests of bridge {element.key[0]} go out with the address of the host"
    return ""


def _ways(added: frozenset[Element], removed: frozenset[Element]) -> list[str]:
    """What networks may reach, and what may reach them."""
    new, old = {e.name for e in added}, {e.name for e in removed}
    said = []
    if "routed" in new | old:
        said.append(f"{'Opened' if 'routed' in new else 'Closed'} the network to the outside")
    if (new | old) & {"egress_all", "egress_ports", "egress_all6", "egress_ports6"}:
        said.append("Changed where guests may go")
    for verb, elements in (("Joined", added), ("Parted", removed)):
        said += [
            f"{verb} the networks of bridges {e.key[0]} and {e.key[1]}"
            for e in sorted(elements, key=lambda element: str(element.key))
            if e.name == "pairs" and e.key[0] != e.key[1]
        ]
    if "logged" in new ^ old:
        said.append(f"{'Noting' if 'logged' in new else 'No longer noting'} what is refused")
    if "apart" in new | old:
        said.append(f"{'Kept' if 'apart' in new else 'No longer kept'} guests from each other")
    return said


def _ties(verb: str, preposition: str, elements: Iterable[Element]) -> str:
    """Guests that may send from their own address alone."""
    count = sum(element.name == "own4" for element in elements)
    addresses = "its address" if count == 1 else "their addresses"
    return f"{verb} {count_of(count, 'guest', 'guests')} {preposition} {addresses}" if count else ""


def _speeds(elements: Iterable[Element]) -> str:
    limits = {"guest_down", "guest_up", "network_down", "network_up"}
    return "Changed bandwidth limits" if any(e.name in limits for e in elements) else ""


def _counters(elements: frozenset[Element]) -> str:
    """Only where nothing else changes: a forward and its counters are one thing to people."""
    alone = {"acct_in", "acct_out", "acct_new", "settled", "sifted"}
    if not {element.name for element in elements} <= alone:
        return ""
    count = sum(element.name == "acct_in" for element in elements)
    return f"Counting the traffic of {count_of(count, 'forward', 'forwards')}" if count else ""


def count_of(number: int, one: str, many: str) -> str:
    """A number with its noun."""
    return f"{number} {one if number == 1 else many}"
