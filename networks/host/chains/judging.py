"""Chains, their rules, and how a packet ends in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Literal

Ending = Literal["accept", "drop", "return"]
Kind = Literal["accept", "drop", "return", "jump", "goto", "go on"]

_DEEPEST = 16
# Targets of iptables that end a packet's way (iptables-extensions(8)).
TARGETS: dict[str, Kind] = {
    "ACCEPT": "accept",
    "DROP": "drop",
    "REJECT": "drop",
    "RETURN": "return",
    "QUEUE": "drop",
    "NFQUEUE": "drop",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """A packet on the forward hook. None is not known; ports that are 0 are not known either."""

    iif: str
    oif: str
    source: str | None
    destination: str | None
    protocol: str
    sport: int = 0
    dport: int = 0
    state: str = "new"
    dnat: bool = False
    family: Literal["ipv4", "ipv6"] = "ipv4"

    def value(self, name: str) -> object:
        """What stands in the field `name`; None when it is not known."""
        known: dict[str, object] = {
            "iif": self.iif,
            "oif": self.oif,
            "source": self.source,
            "destination": self.destination,
            "protocol": self.protocol,
            "sport": self.sport or None,
            "dport": self.dport or None,
            "state": self.state,
            "status": ("dnat",) if self.dnat else (),
            "family": self.family,
            "local": False,
        }
        return known.get(name)


@dataclass(frozen=True, slots=True)
class Match:
    """One condition: the field is one of `values`. A field of "" can never be judged; one of a
    `family` of addresses holds for packets of this family alone (nft(8), "Payload expressions").
    """

    name: str
    values: tuple[object, ...] = ()
    negated: bool = False
    family: str = ""

    def holds(self, packet: Packet) -> bool | None:
        """None when it cannot be told."""
        if self.family not in ("", packet.family):
            return False
        found = packet.value(self.name)
        if found is None:
            return None
        verdicts = [_equals(found, value) for value in self.values]
        if any(verdict is True for verdict in verdicts):
            return not self.negated
        return None if None in verdicts else self.negated


@dataclass(frozen=True, slots=True)
class Rule:
    """What to do when all of `matches` hold; `text` is for people."""

    matches: tuple[Match, ...]
    kind: Kind
    target: str = ""
    text: str = ""

    def holds(self, packet: Packet) -> bool | None:
        verdicts = [match.holds(packet) for match in self.matches]
        if False in verdicts:
            return False
        return None if None in verdicts else True


@dataclass(frozen=True, slots=True)
class BaseChain:
    """A base chain on the forward hook with all that its rules may jump to."""

    label: str
    name: str
    drops: bool
    chains: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judged:
    """`may` holds every way the packet can end in the chain; `why` says what would drop it."""

    label: str
    may: frozenset[Ending]
    why: str = ""

    @property
    def passes(self) -> bool:
        return self.may == {"accept"}

    @property
    def drops(self) -> bool:
        return self.may == {"drop"}


def judge(chain: BaseChain, packet: Packet) -> Judged:
    """What the chain does with the packet, its policy included."""
    endings = _walk(chain.chains, chain.name, packet, 0)
    if "return" in endings:
        del endings["return"]
        policy: Ending = "drop" if chain.drops else "accept"
        endings.setdefault(policy, "its policy is to drop" if chain.drops else "")
    return Judged(chain.label, frozenset(endings), endings.get("drop", ""))


def _walk(
    chains: Mapping[str, tuple[Rule, ...]], name: str, packet: Packet, depth: int
) -> dict[Ending, str]:
    """The possible endings of a chain, each with the first rule that leads to it."""
    found: dict[Ending, str] = {}
    if depth > _DEEPEST:
        return {"return": ""}
    for rule in chains.get(name, ()):
        holds = rule.holds(packet)
        if holds is False or rule.kind == "go on":
            continue
        ended = _apply(chains, rule, packet, depth)
        goes_on = rule.kind == "jump" and ended.pop("return", None) is not None
        for ending, why in ended.items():
            found.setdefault(ending, why)
        if holds and not goes_on:
            return found
    found.setdefault("return", "")
    return found


def _apply(
    chains: Mapping[str, tuple[Rule, ...]], rule: Rule, packet: Packet, depth: int
) -> dict[Ending, str]:
    match rule.kind:
        case "jump" | "goto":
            return _walk(chains, rule.target, packet, depth + 1)
        case "accept" | "drop" | "return":
            return {rule.kind: rule.text}
        case _:
            return {"return": ""}


def _equals(found: object, wanted: object) -> bool | None:
    """Whether a packet's field is what a rule wants; None when the rule's word is not known."""
    if isinstance(found, tuple):
        return wanted in found
    if isinstance(wanted, IPv4Network | IPv6Network):
        return ip_address(str(found)) in wanted
    if isinstance(wanted, range):
        return found in wanted
    if wanted is None:
        return None
    text = str(wanted)
    if text.endswith(("*", "+")):
        return str(found).startswith(text[:-1])
    return str(found) == text


def network(text: str) -> IPv4Network | IPv6Network | None:
    """The network a rule names; None for what is no network."""
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None
