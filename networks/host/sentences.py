"""What a change of elements means, in a sentence for people. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from networks.host.elements import DOORS, PROTOCOLS, Element

_LISTED = 3
_ByName = Mapping[str, Sequence[Element]]


def changed(add: frozenset[Element], remove: frozenset[Element]) -> str:
    """What is added and taken away, in one sentence."""
    added, removed = _by_name(add), _by_name(remove)
    new, gone = _by_name(add - remove), _by_name(remove - add)
    parts = [
        _forwards("Closed", gone),
        _forwards("Opened", new),
        _sources(added),
        *_ways(new, gone),
        _ties("Tied", "to", added),
        _ties("Freed", "from", gone),
        _speeds(added.keys() | removed.keys()),
        _counters(added),
    ]
    said = [part for part in parts if part] or ["Updated the rules of the network"]
    return "; ".join([said[0], *(part[0].lower() + part[1:] for part in said[1:])])


def _by_name(elements: Iterable[Element]) -> _ByName:
    """Sorted out once, because a host that lost its rules gets thousands back."""
    found: dict[str, list[Element]] = {}
    for element in elements:
        found.setdefault(element.name, []).append(element)
    return found


def _forwards(verb: str, elements: _ByName) -> str:
    changed = [element for name in DOORS for element in elements.get(name, ())]
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


def _sources(elements: _ByName) -> str:
    pool = {str(element.value[0]) for element in elements.get("snat_pool", ())}
    if pool:
        return f"Guests go out as {', '.join(sorted(pool))}"
    for name in ("snat4", "masq", "snat6", "masq6"):
        for element in elements.get(name, ()):
            how = f"as {element.value[0]}" if element.value else "with the address of the host"
            return f"Guests of bridge {element.key[0]} go out {how}"
    return ""


def _ways(added: _ByName, removed: _ByName) -> list[str]:
    """What networks may reach, and what may reach them."""
    new, old = added.keys(), removed.keys()
    said = []
    if "routed" in new | old:
        said.append(f"{'Opened' if 'routed' in new else 'Closed'} the network to the outside")
    if (new | old) & {"egress_all", "egress_ports", "egress_all6", "egress_ports6"}:
        said.append("Changed where guests may go")
    for verb, elements in (("Joined", added), ("Parted", removed)):
        said += [
            f"{verb} the networks of bridges {e.key[0]} and {e.key[1]}"
            for e in sorted(elements.get("pairs", ()), key=lambda element: str(element.key))
            if e.key[0] != e.key[1]
        ]
    if "logged" in new ^ old:
        said.append(f"{'Noting' if 'logged' in new else 'No longer noting'} what is refused")
    if "apart" in new | old:
        said.append(f"{'Kept' if 'apart' in new else 'No longer kept'} guests from each other")
    return said


def _ties(verb: str, preposition: str, elements: _ByName) -> str:
    """Guests that may send from their own address alone."""
    count = len(elements.get("own4", ()))
    addresses = "its address" if count == 1 else "their addresses"
    return f"{verb} {count_of(count, 'guest', 'guests')} {preposition} {addresses}" if count else ""


def _speeds(names: AbstractSet[str]) -> str:
    limits = {"guest_down", "guest_up", "network_down", "network_up"}
    return "Changed bandwidth limits" if names & limits else ""


def _counters(elements: _ByName) -> str:
    """Only where nothing else changes: a forward and its counters are one thing to people."""
    if not elements.keys() <= {"acct_in", "acct_out", "acct_new", "settled", "sifted"}:
        return ""
    count = len(elements.get("acct_in", ()))
    return f"Counting the traffic of {count_of(count, 'forward', 'forwards')}" if count else ""


def count_of(number: int, one: str, many: str) -> str:
    """A number with its noun."""
    return f"{number} {one if number == 1 else many}"
