"""Other people's firewalls in our way, and what their own tools want to hear. Pure.

An `accept` of ours ends our chain alone: a base chain of another table on the same hook may still
drop (nft(8), "Chains"). Each tool is told once to let our bridges through, by a wildcard: networks
stay apart all the same, for that is judged in our own chains.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from kvmweb.core.names import BRIDGE_PREFIX
from networks.host.chains.judging import BaseChain, Packet, judge

Tool = Literal["Docker", "ufw", "firewalld", "iptables", "nftables"]
Command = tuple[str, ...]

_OURS = f"{BRIDGE_PREFIX}+"
_PROGRAMS = {"ip": "iptables-nft", "ip6": "ip6tables-nft", "inet": "iptables-nft"}
_XTABLES = {"filter", "mangle", "raw", "security"}
_LASTS: dict[Tool, str] = {
    "Docker": "It holds until the machine starts anew; netfilter-persistent keeps it longer.",
    "iptables": "It holds until the rules are loaded anew; netfilter-persistent keeps it longer.",
    "ufw": "ufw keeps it.",
    "firewalld": "firewalld keeps it.",
    "nftables": "",
}


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A chain of others that drops what guests send or are sent. `surely` says that it does so
    whatever a packet carries. `commands` let our bridges through where its tool expects that."""

    tool: Tool
    chain: str
    hook: Literal["forward", "input"]
    surely: bool
    why: str
    commands: tuple[Command, ...]

    @property
    def does(self) -> str:
        """The commands as a person would type them."""
        return _as_typed(self.commands)

    @property
    def remedy(self) -> str:
        return _remedy(self.tool, self.commands)

    @property
    def is_ours_to_apply(self) -> bool:
        """Not in a table nobody knows: only who wrote it can tell what it means."""
        return self.tool != "nftables"

    @property
    def sentence(self) -> str:
        drops = "drops" if self.surely else "may drop"
        what = "what guests ask of this host" if self.hook == "input" else "what is forwarded"
        why = f": {self.why}" if self.why else ""
        return f"{self.tool}: the chain {self.chain} {drops} {what}{why}."


def obstacles(
    forward: Iterable[BaseChain], incoming: Iterable[BaseChain], uplinks: Iterable[str]
) -> Iterator[Obstacle]:
    """What would drop packets of guests: on their way out, in through a forward, or to our DHCP."""
    names = tuple(uplinks) or ("",)
    packets = [
        packet
        for uplink in names
        for packet in (
            _packet(uplink, f"{BRIDGE_PREFIX}0", dnat=True),
            _packet(f"{BRIDGE_PREFIX}0", uplink),
        )
    ]
    for chain in forward:
        yield from _obstacle(chain, "forward", packets)
    asked = Packet(
        iif=f"{BRIDGE_PREFIX}0",
        oif="",
        source=None,
        destination=None,
        protocol="udp",
        sport=68,
        dport=67,
    )
    for chain in incoming:
        yield from _obstacle(chain, "input", [asked])


def remedy(chain: BaseChain) -> str:
    """How an operator has a chain on the forward hook let our networks through."""
    tool = _tool(chain)
    return _remedy(tool, _commands(tool, chain, "forward"))


def _packet(iif: str, oif: str, *, dnat: bool = False) -> Packet:
    return Packet(
        iif=iif, oif=oif, source=None, destination=None, protocol="tcp", dport=80, dnat=dnat
    )


def _obstacle(
    chain: BaseChain, hook: Literal["forward", "input"], packets: Iterable[Packet]
) -> Iterator[Obstacle]:
    judged = [judge(chain, packet) for packet in packets]
    dropping = [one for one in judged if "drop" in one.may]
    if dropping:
        worst = next((one for one in dropping if one.drops), dropping[0])
        tool = _tool(chain)
        yield Obstacle(
            tool, chain.label, hook, worst.drops, worst.why, _commands(tool, chain, hook)
        )


def _tool(chain: BaseChain) -> Tool:
    """Who made this chain, told by its companions."""
    names = set(chain.chains) | {r.target for rules in chain.chains.values() for r in rules}
    table, name = chain.label.split()[1:3]
    if table == "firewalld":
        return "firewalld"
    if any(each.startswith("ufw") for each in names):
        return "ufw"
    if "DOCKER-USER" in names:
        return "Docker"
    return "iptables" if name in {"FORWARD", "INPUT"} and table in _XTABLES else "nftables"


def _commands(tool: Tool, chain: BaseChain, hook: str) -> tuple[Command, ...]:
    family, table, name = chain.label.split()[:3]
    insert: Command
    program = _PROGRAMS.get(family, family)
    match tool:
        case "firewalld":
            add = ("--permanent", "--zone=trusted", f"--add-interface={_OURS}")
            return ("firewall-cmd", *add), ("firewall-cmd", "--reload")
        case "ufw" if hook == "input":
            return (("ufw", "allow", "in", "on", _OURS),)
        case "ufw":
            route = ("ufw", "route", "allow")
            return (*route, "in", "on", _OURS), (*route, "out", "on", _OURS)
        case "Docker" | "iptables":
            docker = tool == "Docker" and hook == "forward"
            within = () if table == "filter" else ("-t", table)
            insert = (program, *within, "-I", "DOCKER-USER" if docker else name)
            return tuple((*insert, way, _OURS, "-j", "ACCEPT") for way in _ways(hook, "-i", "-o"))
        case _:
            insert = ("nft", "insert", "rule", family, table, name)
            ours = f'"{BRIDGE_PREFIX}*"'
            ways = _ways(hook, "iifname", "oifname")
            return tuple((*insert, way, ours, "accept") for way in ways)


def _ways(hook: str, into: str, out_of: str) -> tuple[str, ...]:
    return (into,) if hook == "input" else (into, out_of)


def _remedy(tool: Tool, commands: tuple[Command, ...]) -> str:
    return f"Run on the host: {_as_typed(commands)}. {_LASTS[tool]}".strip()


def _as_typed(commands: tuple[Command, ...]) -> str:
    return "; ".join(" ".join(_typed(command)) for command in commands)


def _typed(command: Command) -> Iterator[str]:
    for word in command:
        yield f"'{word}'" if '"' in word else word
