"""Other people's firewalls that stand in the way of forwards.

An `accept` in our chain ends only that chain: a base chain of another table on the same hook may
still drop the packet (nft(8), "Chains"). Those tables are never written by us; we name them and say
what their owner can do. Nobody but the machine itself can be asked, so this runs on the host.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OURS = "kvmweb"
_SECONDS = 10
_LEGACY = Path("/proc/net/ip_tables_names")
_VERDICTS = ("drop", "reject")


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A base chain that drops what passes through this machine unless somebody lets it through."""

    tool: str
    chain: str
    table: str
    does: str
    remedy: str

    @property
    def sentence(self) -> str:
        return f"{self.tool}: chain {self.chain} of table {self.table} {self.does}."


_ACCEPT_BOTH = "{command} -I {chain} -i kw+ -j ACCEPT; {command} -I {chain} -o kw+ -j ACCEPT"
_FIREWALLD = "firewall-cmd --permanent --zone=trusted --add-interface=kw+; firewall-cmd --reload"
_UFW = "ufw route allow in on kw+; ufw route allow out on kw+"


def obstacles() -> list[Obstacle]:
    """What would drop forwarded packets now, in the network namespace of the caller."""
    listed = _nft("list", "chains")
    found = [
        _obstacle(chain, _rules(chain))
        for chain in forwarding(listed)
        if not _lets_ours_through(chain)
    ]
    return [obstacle for obstacle in found if obstacle] + _legacy()


def forwarding(listed: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The base chains of others that filter what passes through, out of `nft -j list chains`."""
    chains = [entry["chain"] for entry in listed if "chain" in entry]
    return [
        chain
        for chain in chains
        if chain.get("hook") == "forward"
        and chain["table"] != OURS
        and chain["family"] in {"ip", "inet"}
    ]


def _obstacle(chain: dict[str, Any], rules: Sequence[dict[str, Any]]) -> Obstacle | None:
    table = f"{chain['family']} {chain['table']}"
    if chain.get("policy") == "drop":
        does = "drops by policy what no rule accepts"
    elif rules and _ends_all(rules[-1]):
        does = "ends in a rule that rejects everything else"
    else:
        return None
    tool, remedy = _owner(chain)
    return Obstacle(tool, chain["name"], table, does, remedy)


def _owner(chain: dict[str, Any]) -> tuple[str, str]:
    """Who made this chain, told by its companions, and the remedy that tool's users expect."""
    names = {entry["chain"]["name"] for entry in _nft("list", "chains") if _is_beside(entry, chain)}
    if chain["table"] == "firewalld":
        return "firewalld", _FIREWALLD
    if "ufw-before-forward" in names or "ufw-user-forward" in names:
        return "ufw", _UFW
    if "DOCKER-USER" in names:
        return "Docker", _ACCEPT_BOTH.format(command="iptables", chain="DOCKER-USER")
    if chain["name"] == "FORWARD" and chain["table"] == "filter":
        return "iptables", _ACCEPT_BOTH.format(command="iptables", chain="FORWARD")
    rule = f"nft insert rule {chain['family']} {chain['table']} {chain['name']}"
    return "nftables", f'{rule} iifname "kw*" accept; {rule} oifname "kw*" accept'


def _is_beside(entry: dict[str, Any], chain: dict[str, Any]) -> bool:
    other = entry.get("chain", {})
    return bool(other.get("table") == chain["table"] and other["family"] == chain["family"])


def _ends_all(rule: dict[str, Any]) -> bool:
    """Whether a rule refuses without asking for anything; counters do not ask."""
    parts = [part for part in rule.get("expr", ()) if "counter" not in part]
    return len(parts) == 1 and any(verdict in parts[0] for verdict in _VERDICTS)


def _lets_ours_through(chain: dict[str, Any]) -> bool:
    """Whether the table already has rules for both directions of our bridges."""
    rules = [
        entry["rule"]
        for entry in _nft("list", "table", chain["family"], chain["table"])
        if "rule" in entry
    ]
    sides = {side for rule in rules for side in _accepted_sides(rule)}
    return sides >= {"iifname", "oifname"}


def _accepted_sides(rule: dict[str, Any]) -> set[str]:
    parts = rule.get("expr", ())
    if not any("accept" in part for part in parts):
        return set()
    matches = [part["match"] for part in parts if "match" in part]
    return {
        str(match["left"]["meta"]["key"])
        for match in matches
        if "meta" in match.get("left", {}) and str(match.get("right")).startswith("kw")
    }


def _rules(chain: dict[str, Any]) -> list[dict[str, Any]]:
    listed = _nft("list", "chain", chain["family"], chain["table"], chain["name"])
    return [entry["rule"] for entry in listed if "rule" in entry]


def _legacy() -> list[Obstacle]:
    """The older iptables, which nft does not show."""
    try:
        if "filter" not in _LEGACY.read_text().split():
            return []
        done = _run("iptables-legacy", "-w", "5", "-S")
    except OSError:
        return []
    lines = done.splitlines()
    if "-P FORWARD DROP" not in lines or _has_both(lines):
        return []
    docker = "-N DOCKER-USER" in lines
    chain = "DOCKER-USER" if docker else "FORWARD"
    remedy = _ACCEPT_BOTH.format(command="iptables-legacy", chain=chain)
    does = "drops by policy what no rule accepts"
    tool = "Docker" if docker else "iptables"
    return [Obstacle(tool, "FORWARD", "filter (iptables-legacy)", does, remedy)]


def _has_both(lines: Sequence[str]) -> bool:
    accepts = [line for line in lines if line.endswith("-j ACCEPT")]
    return all(any(f" {way} kw+ " in line for line in accepts) for way in ("-i", "-o"))


def _nft(*words: str) -> list[dict[str, Any]]:
    try:
        text = _run("nft", "-j", "-t", *words)
    except OSError:
        return []
    answer: list[dict[str, Any]] = json.loads(text)["nftables"] if text.strip() else []
    return answer


def _run(*command: str) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout if done.returncode == 0 else ""
