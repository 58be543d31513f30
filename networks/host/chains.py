"""What other firewalls' forward chains would do with a packet, judged without sending one. Pure.

Rules are read from `nft -j` (libnftables-json(5)) or from what iptables saves. A condition that
cannot be judged (a mark, another program's set, an unknown match) may hold or not: a chain then has
several possible outcomes, and its verdict is honest about it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Literal

Ending = Literal["accept", "drop", "return"]
Kind = Literal["accept", "drop", "return", "jump", "goto", "go on"]

_DEEPEST = 16
_ENDINGS: dict[str, Kind] = {
    "accept": "accept",
    "drop": "drop",
    "reject": "drop",
    "return": "return",
    "queue": "drop",
}
_TARGETS: dict[str, Kind] = {
    "ACCEPT": "accept",
    "DROP": "drop",
    "REJECT": "drop",
    "RETURN": "return",
    "QUEUE": "drop",
    "NFQUEUE": "drop",
}
# Targets that let the packet go on to the next rule (iptables-extensions(8)).
_PASSING = {"LOG", "NFLOG", "MARK", "CONNMARK", "CT", "TCPMSS", "TRACE", "ULOG", "TOS", "DSCP"}


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
            "family": "ipv4",
            "local": False,
        }
        return known.get(name)


@dataclass(frozen=True, slots=True)
class Match:
    """One condition: the field is one of `values`. A field of "" can never be judged."""

    name: str
    values: tuple[object, ...] = ()
    negated: bool = False

    def holds(self, packet: Packet) -> bool | None:
        """None when it cannot be told."""
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
    if isinstance(wanted, IPv4Network):
        return IPv4Address(str(found)) in wanted
    if isinstance(wanted, range):
        return found in wanted
    if wanted is None:
        return None
    text = str(wanted)
    if text.endswith(("*", "+")):
        return str(found).startswith(text[:-1])
    return str(found) == text


def nft_base_chains(listing: Iterable[Mapping[str, Any]], hook: str = "forward") -> list[BaseChain]:
    """The chains of one table on a hook, as `nft -j list table` shows it."""
    objects = list(listing)
    named = [each.get("set") or each.get("map") for each in objects]
    sets = {one["name"]: one for one in named if one}
    chains: dict[str, tuple[Rule, ...]] = {}
    for each in objects:
        if "rule" in each:
            rule = each["rule"]
            made = tuple(_nft_rules(rule.get("expr", []), sets))
            chains[rule["chain"]] = chains.get(rule["chain"], ()) + made
    return [
        BaseChain(
            label=f"{chain['family']} {chain['table']} {chain['name']}",
            name=chain["name"],
            drops=chain.get("policy") == "drop",
            chains=chains,
        )
        for each in objects
        if (chain := each.get("chain", {})).get("hook") == hook
    ]


def uses_iptables(listing: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the table holds rules of iptables that nft cannot show whole."""
    return any(
        "xt" in statement
        for each in listing
        if "rule" in each
        for statement in each["rule"].get("expr", [])
    )


def _nft_rules(statements: list[dict[str, Any]], sets: Mapping[str, Any]) -> Iterator[Rule]:
    """A rule with a verdict map is one rule for each of its entries."""
    matches: list[Match] = []
    text = ", ".join(_shown(statement) for statement in statements)
    for statement in statements:
        if "match" in statement:
            matches.append(_nft_match(statement["match"], sets))
        elif "vmap" in statement:
            yield from _nft_vmap(matches, statement["vmap"], sets, text)
            return
        elif (verdict := _nft_verdict(statement)) is not None:
            yield Rule(tuple(matches), *verdict, text)
            return
        elif "limit" in statement:
            matches.append(Match(""))
        elif "xt" in statement:
            known = (statement["xt"] or {}).get("name") == "comment"
            matches += [] if known else [Match("")]


def _nft_verdict(statement: Mapping[str, Any]) -> tuple[Kind, str] | None:
    for name, kind in _ENDINGS.items():
        if name in statement:
            return kind, ""
    if "jump" in statement:
        return "jump", statement["jump"]["target"]
    if "goto" in statement:
        return "goto", statement["goto"]["target"]
    target = (statement.get("xt") or {}).get("name", "")
    return (_TARGETS[target], "") if target in _TARGETS else None


def _nft_vmap(
    matches: list[Match], vmap: Mapping[str, Any], sets: Mapping[str, Any], text: str
) -> Iterator[Rule]:
    data = vmap["data"]
    entries = data.get("set", []) if isinstance(data, dict) else sets.get(_named(data), {})
    if isinstance(entries, dict):
        entries = entries.get("elem", [])
    for key, statement in entries:
        verdict = _nft_verdict(statement) or ("go on", "")
        match = Match(_nft_field(vmap["key"]), tuple(_nft_values(key, sets)))
        yield Rule((*matches, match), *verdict, text)


def _nft_match(match: Mapping[str, Any], sets: Mapping[str, Any]) -> Match:
    if match["op"] not in {"==", "!=", "in"}:
        return Match("")
    values = tuple(_nft_values(match["right"], sets))
    return Match(_nft_field(match["left"]), values, negated=match["op"] == "!=")


_META = {
    "iifname": "iif",
    "iif": "iif",
    "oifname": "oif",
    "oif": "oif",
    "l4proto": "protocol",
    "nfproto": "family",
}
_PAYLOAD = {
    ("ip", "saddr"): "source",
    ("ip", "daddr"): "destination",
    ("ip", "protocol"): "protocol",
    ("tcp", "sport"): "sport",
    ("udp", "sport"): "sport",
    ("th", "sport"): "sport",
    ("tcp", "dport"): "dport",
    ("udp", "dport"): "dport",
    ("th", "dport"): "dport",
}


def _nft_field(left: object) -> str:
    if not isinstance(left, dict):
        return ""
    if "meta" in left:
        return _META.get(left["meta"].get("key", ""), "")
    if "ct" in left and left["ct"].get("key") in {"state", "status"}:
        return str(left["ct"]["key"])
    if "payload" in left:
        place = left["payload"].get("protocol", ""), left["payload"].get("field", "")
        return _PAYLOAD.get(place, "")
    return ""


def _nft_values(right: object, sets: Mapping[str, Any]) -> Iterator[object]:
    if isinstance(right, dict):
        yield from _nft_structured(right, sets)
    elif isinstance(right, list):
        for one in right:
            yield from _nft_values(one, sets)
    elif isinstance(right, str) and right.startswith("@"):
        for one in sets.get(_named(right), {}).get("elem", []):
            yield from _nft_values(one, sets)
    else:
        yield right


def _nft_structured(right: Mapping[str, Any], sets: Mapping[str, Any]) -> Iterator[object]:
    if "set" in right:
        yield from _nft_values(right["set"], sets)
    elif "elem" in right:
        yield from _nft_values(right["elem"]["val"], sets)
    elif "prefix" in right:
        yield _network(f"{right['prefix']['addr']}/{right['prefix']['len']}")
    elif "range" in right:
        yield _range(*right["range"])
    else:
        yield None


def _named(reference: object) -> str:
    return str(reference).removeprefix("@")


def _network(text: str) -> IPv4Network | None:
    try:
        return IPv4Network(text, strict=False)
    except ValueError:
        return None


def _range(first: object, last: object) -> range | None:
    if isinstance(first, int) and isinstance(last, int):
        return range(first, last + 1)
    return None


def _shown(statement: Mapping[str, Any]) -> str:
    name, body = next(iter(statement.items()))
    if name == "match":
        return f"{_words(body['left'])} {body['op']} {_words(body['right'])}"
    if name in {"jump", "goto"}:
        return f"{name} {body['target']}"
    return str(name)


def _words(value: object) -> str:
    if isinstance(value, dict):
        if "prefix" in value:
            return f"{value['prefix']['addr']}/{value['prefix']['len']}"
        return " ".join(_words(each) for each in value.values())
    if isinstance(value, list):
        return "{" + ", ".join(_words(each) for each in value) + "}"
    return str(value)


def iptables_base_chains(saved: str, label: str, hook: str = "forward") -> list[BaseChain]:
    """The chains of a hook in what `iptables-save` wrote, of every table; `label` says of which."""
    name = hook.upper()
    found: list[BaseChain] = []
    table, drops = "", False
    chains: dict[str, tuple[Rule, ...]] = {}
    for line in saved.splitlines():
        if line.startswith("*"):
            table, drops, chains = line[1:].strip(), False, {}
        elif line.startswith(f":{name} "):
            drops = line.split()[1] == "DROP"
            found.append(BaseChain(f"{label} {table} {name}", name, drops, chains))
        elif line.startswith("-A "):
            words = shlex.split(line)
            chains[words[1]] = (*chains.get(words[1], ()), _iptables_rule(words[2:], line))
    return found


_OPTIONS = {
    "-i": "iif",
    "-o": "oif",
    "-s": "source",
    "-d": "destination",
    "-p": "protocol",
    "--sport": "sport",
    "--sports": "sport",
    "--dport": "dport",
    "--dports": "dport",
    "--ctstate": "state",
    "--state": "state",
}
_MEANINGLESS = {"-m", "--comment", "--reject-with", "--log-prefix", "--log-level"}


def _iptables_rule(words: list[str], line: str) -> Rule:
    matches: list[Match] = []
    kind: Kind = "go on"
    target, negated = "", False
    rest = iter(words)
    for word in rest:
        if word == "!":
            negated = True
            continue
        if word in {"-j", "-g"}:
            kind, target = _iptables_target(next(rest, ""), "goto" if word == "-g" else "jump")
        elif word in _MEANINGLESS:
            next(rest, "")
        elif word in _OPTIONS:
            matches.append(_iptables_match(_OPTIONS[word], next(rest, ""), negated=negated))
        elif word == "--dst-type":
            local = next(rest, "") == "LOCAL"
            matches.append(Match("local", (True,), negated) if local else Match(""))
        elif word.startswith("-") and kind == "go on":
            matches.append(Match(""))
        negated = False
    return Rule(tuple(matches), kind, target, line)


def _iptables_target(name: str, default: Kind) -> tuple[Kind, str]:
    if name in _TARGETS:
        return _TARGETS[name], ""
    return ("go on", "") if name in _PASSING else (default, name)


def _iptables_match(name: str, text: str, *, negated: bool) -> Match:
    values: list[object] = []
    for part in text.split(","):
        if name in {"source", "destination"}:
            values.append(_network(part))
        elif name in {"sport", "dport"}:
            values.append(_ports(part))
        elif name == "state":
            values.append(part.lower())
        else:
            values.append(part)
    if name == "protocol" and text == "all":
        return Match("family", ("ipv4",), negated)
    if name == "state" and "dnat" in values:
        return Match("status", ("dnat",), negated) if len(values) == 1 else Match("")
    return Match(name, tuple(values), negated)


def _ports(text: str) -> range | None:
    first, _, last = text.partition(":")
    if not first.isdecimal() or not (last or first).isdecimal():
        return None
    return range(int(first), int(last or first) + 1)
