"""Chains as `nft -j list table` shows them (libnftables-json(5))."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from networks.host.chains.judging import TARGETS, BaseChain, Kind, Match, Rule, network

_ENDINGS: dict[str, Kind] = {
    "accept": "accept",
    "drop": "drop",
    "reject": "drop",
    "return": "return",
    "queue": "drop",
}


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
    return (TARGETS[target], "") if target in TARGETS else None


def _nft_vmap(
    matches: list[Match], vmap: Mapping[str, Any], sets: Mapping[str, Any], text: str
) -> Iterator[Rule]:
    data = vmap["data"]
    entries = data.get("set", []) if isinstance(data, dict) else sets.get(_named(data), {})
    if isinstance(entries, dict):
        entries = entries.get("elem", [])
    for key, statement in entries:
        verdict = _nft_verdict(statement) or ("go on", "")
        values = tuple(_nft_values(key, sets))
        match = Match(_nft_field(vmap["key"]), values, family=_nft_family(vmap["key"]))
        yield Rule((*matches, match), *verdict, text)


def _nft_match(match: Mapping[str, Any], sets: Mapping[str, Any]) -> Match:
    if match["op"] not in {"==", "!=", "in"}:
        return Match("")
    values = tuple(_nft_values(match["right"], sets))
    field = match["left"]
    return Match(_nft_field(field), values, match["op"] == "!=", _nft_family(field))


_META = {
    "iifname": "iif",
    "iif": "iif",
    "oifname": "oif",
    "oif": "oif",
    "l4proto": "protocol",
    "nfproto": "family",
}
_PAYLOAD_FAMILIES = {"ip": "ipv4", "ip6": "ipv6"}
_PAYLOAD = {
    ("ip", "saddr"): "source",
    ("ip", "daddr"): "destination",
    ("ip", "protocol"): "protocol",
    ("ip6", "saddr"): "source",
    ("ip6", "daddr"): "destination",
    ("ip6", "nexthdr"): "protocol",
    ("tcp", "sport"): "sport",
    ("udp", "sport"): "sport",
    ("th", "sport"): "sport",
    ("tcp", "dport"): "dport",
    ("udp", "dport"): "dport",
    ("th", "dport"): "dport",
}


def _nft_family(left: object) -> str:
    """The family whose header a field is of; empty for what both have."""
    payload = left.get("payload", {}) if isinstance(left, dict) else {}
    return _PAYLOAD_FAMILIES.get(payload.get("protocol", ""), "")


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
        yield network(f"{right['prefix']['addr']}/{right['prefix']['len']}")
    elif "range" in right:
        yield _range(*right["range"])
    else:
        yield None


def _named(reference: object) -> str:
    return str(reference).removeprefix("@")


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
