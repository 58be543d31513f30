"""Chains as iptables-save(8) writes them."""

from __future__ import annotations

import shlex

from networks.host.chains.judging import TARGETS, BaseChain, Kind, Match, Rule, network

# Targets that let the packet go on to the next rule (iptables-extensions(8)).
_PASSING = {"LOG", "NFLOG", "MARK", "CONNMARK", "CT", "TCPMSS", "TRACE", "ULOG", "TOS", "DSCP"}


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
    if name in TARGETS:
        return TARGETS[name], ""
    return ("go on", "") if name in _PASSING else (default, name)


def _iptables_match(name: str, text: str, *, negated: bool) -> Match:
    values: list[object] = []
    for part in text.split(","):
        if name in {"source", "destination"}:
            values.append(network(part))
        elif name in {"sport", "dport"}:
            values.append(_ports(part))
        elif name == "state":
            values.append(part.lower())
        else:
            values.append(part)
    if name == "protocol" and text == "all":
        return Match("family", ("ipv4", "ipv6"), negated)
    if name == "state" and "dnat" in values:
        return Match("status", ("dnat",), negated) if len(values) == 1 else Match("")
    return Match(name, tuple(values), negated)


def _ports(text: str) -> range | None:
    first, _, last = text.partition(":")
    if not first.isdecimal() or not (last or first).isdecimal():
        return None
    return range(int(first), int(last or first) + 1)
