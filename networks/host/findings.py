"""What on a host stands, or may stand, in the way of networks: found, what it breaks, the remedy.

Pure: `survey` looks, this judges. Whoever reads a finding knows what to do without other pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from networks.host.chains.judging import BaseChain
from networks.host.firewalls import Command, Obstacle, obstacles
from networks.host.ruleset import CONNECTIONS_PER_GUEST

Level = Literal["bad", "warn", "note"]

_FULL, _FILLING = 0.95, 0.8
_SPARE_INSTANCES = 8
_STRICT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`does` is what kvmweb runs when an operator has it apply the remedy; empty where the remedy
    is not ours. `commands` never leave the host."""

    id: str
    level: Level
    found: str
    breaks: str
    remedy: str
    does: str = ""
    commands: tuple[Command, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Conntrack:
    """The table of tracked connections; `refused` are new ones it had no room for."""

    count: int
    most: int
    refused: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What was seen. `flushes` is the file by which the nftables service empties the ruleset;
    `owned` says that this passes our tables by. `dhcp` names programs that wait on port 67 of all
    interfaces, `served` whether ours runs. `limited` are connections that guests had too many of.
    `rp_filter` holds the uplinks' effective values."""

    uplinks: tuple[str, ...] = ()
    forward: tuple[BaseChain, ...] = ()
    incoming: tuple[BaseChain, ...] = ()
    unread: tuple[str, ...] = ()
    flushes: str = ""
    owned: bool = False
    libvirt: tuple[str, ...] = ()
    filters_bridged: bool = False
    foreign_bridges: tuple[str, ...] = ()
    router: bool = False
    rp_filter: dict[str, int] = field(default_factory=dict)
    conntrack: Conntrack | None = None
    dhcp: tuple[str, ...] = ()
    served: bool = False
    limited: int = 0
    dnsmasqs: int = 0
    inotify_instances: int = 0


def findings(seen: Survey) -> tuple[Finding, ...]:
    """All there is to say, the worst first."""
    order: dict[Level, int] = {"bad": 0, "warn": 1, "note": 2}
    return tuple(sorted(_all(seen), key=lambda finding: order[finding.level]))


def _all(seen: Survey) -> Iterator[Finding]:
    for obstacle in obstacles(seen.forward, seen.incoming, seen.uplinks):
        yield _firewall(obstacle)
    for what in seen.unread:
        yield Finding(
            id=f"unread:{what}",
            level="note",
            found=f"The host has {what}.",
            breaks="They may drop what guests send or are sent; it cannot be told.",
            remedy="Install iptables, so that they can be read.",
        )
    yield from _flush(seen)
    yield from _dhcp(seen)
    yield from _bridged(seen)
    yield from _reverse_path(seen)
    yield from _connections(seen.conntrack)
    yield from _limited(seen)
    yield from _inotify(seen)
    yield from _surroundings(seen)


def _firewall(obstacle: Obstacle) -> Finding:
    if obstacle.hook == "input":
        breaks = "Guests get no address by DHCP and no names."
    else:
        breaks = "Guests do not reach the outside, or nobody reaches them through forwards."
    ours = obstacle.is_ours_to_apply
    return Finding(
        id=f"firewall:{obstacle.hook}:{obstacle.chain}",
        level="bad" if obstacle.surely else "warn",
        found=obstacle.sentence,
        breaks=breaks if obstacle.surely else f"It may be that: {breaks[0].lower()}{breaks[1:]}",
        remedy=obstacle.remedy,
        does=obstacle.does if ours else "",
        commands=obstacle.commands if ours else (),
    )


def _flush(seen: Survey) -> Iterator[Finding]:
    if not seen.flushes:
        return
    if seen.owned:
        breaks = "Nothing of ours: this kernel keeps our tables from being flushed by others."
    else:
        breaks = (
            "Whenever that service starts or reloads, all rules are gone until they are put back, "
            "within a second or so; connections may break."
        )
    yield Finding(
        id="nftables-service",
        level="note" if seen.owned else "warn",
        found=f"The service nftables is enabled, and {seen.flushes} begins with `flush ruleset`.",
        breaks=breaks,
        remedy=f"In {seen.flushes}, replace `flush ruleset` by `table inet NAME` and"
        " `delete table inet NAME` for each table of that file.",
    )


def _dhcp(seen: Survey) -> Iterator[Finding]:
    for program in seen.dhcp:
        yield Finding(
            id=f"dhcp:{program}",
            level="warn" if seen.served else "bad",
            found=f"The program {program} waits for DHCP requests (UDP port 67) of all interfaces.",
            breaks="It may answer guests with addresses that are not theirs."
            if seen.served
            else "The DHCP service of kvmweb cannot start, so guests get no addresses.",
            remedy=f"Have {program} listen on its own interfaces alone, or stop it.",
        )


def _bridged(seen: Survey) -> Iterator[Finding]:
    if seen.filters_bridged and seen.foreign_bridges:
        blocked = any(obstacles(seen.forward, (), seen.uplinks))
        yield Finding(
            id="br-netfilter",
            level="warn" if blocked else "note",
            found="br_netfilter passes bridged frames through the IP firewall, which containers on"
            f" {', '.join(seen.foreign_bridges)} may rely on.",
            breaks="Guests of one network are dropped by the firewalls named above."
            if blocked
            else "A guest does not reach itself by a forward of its own, and a firewall that drops"
            " what is forwarded would part guests of one network.",
            remedy="If nothing here relies on it: sysctl -w net.bridge.bridge-nf-call-iptables=0.",
        )


def _reverse_path(seen: Survey) -> Iterator[Finding]:
    strict = sorted(name for name, value in seen.rp_filter.items() if value == _STRICT)
    if strict and len(seen.uplinks) > 1:
        settings = " ".join(f"net.ipv4.conf.{name}.rp_filter=2" for name in strict)
        yield Finding(
            id="rp-filter",
            level="warn",
            found=f"The reverse path is checked strictly on {', '.join(strict)}, and this host has"
            f" {len(seen.uplinks)} uplinks.",
            breaks="What comes in by another uplink than its answer would take is dropped.",
            remedy=f"Check it loosely: sysctl -w {settings}.",
        )


def _connections(table: Conntrack | None) -> Iterator[Finding]:
    if table is None or not table.most:
        return
    share = table.count / table.most
    more = f"sysctl -w net.netfilter.nf_conntrack_max={2 * table.most}"
    if share >= _FILLING:
        yield Finding(
            id="conntrack",
            level="bad" if share >= _FULL else "warn",
            found=f"{table.count:,} of at most {table.most:,} connections are tracked"
            f" ({share:.0%}).",
            breaks="When the table is full, new connections of all guests and of the host fail.",
            remedy=f"Look which network has them, or make room: {more}, and keep it in"
            " /etc/sysctl.d/.",
        )
    elif table.refused:
        yield Finding(
            id="conntrack-refused",
            level="note",
            found=f"{table.refused:,} new connections were refused since the start of the machine"
            " for want of room in the table of connections.",
            breaks=f"Nothing now: it holds {table.count:,} of {table.most:,}.",
            remedy=f"If it happens again: {more}, and keep it in /etc/sysctl.d/.",
        )


def _limited(seen: Survey) -> Iterator[Finding]:
    if seen.limited:
        yield Finding(
            id="guest-connections",
            level="note",
            found=f"{seen.limited:,} new connections of guests were refused since the rules were"
            f" loaded: a guest may have begun {CONNECTIONS_PER_GUEST:,} at the same time.",
            breaks="Only for the guests that reached it; all others have room in the table of"
            " connections.",
            remedy="Look at the flows of the networks here for the guest that has so many; it may"
            " be scanning or under a stranger's control.",
        )


def _inotify(seen: Survey) -> Iterator[Finding]:
    if seen.inotify_instances and seen.dnsmasqs + _SPARE_INSTANCES >= seen.inotify_instances:
        yield Finding(
            id="inotify",
            level="warn",
            found=f"{seen.dnsmasqs} dnsmasq run, and each takes one of the"
            f" {seen.inotify_instances} inotify instances that root may have.",
            breaks="The next network of libvirt cannot start, nor a DHCP service of kvmweb.",
            remedy="sysctl -w fs.inotify.max_user_instances=1024, and keep it in /etc/sysctl.d/.",
        )


def _surroundings(seen: Survey) -> Iterator[Finding]:
    if seen.libvirt:
        yield Finding(
            id="libvirt",
            level="note",
            found=f"libvirt has networks of its own: {', '.join(seen.libvirt)}.",
            breaks="Nothing: their subnets are refused for ours.",
            remedy="If nobody uses them: virsh net-destroy NAME and virsh net-autostart --disable.",
        )
    if seen.router:
        yield Finding(
            id="router",
            level="note",
            found="net.ipv4.ip_forward is 1: the host forwards between all its interfaces.",
            breaks="Nothing of ours, which is judged by our rules; but whoever can send to this"
            " host may reach its other networks through it.",
            remedy="If no other program here needs it: sysctl -w net.ipv4.ip_forward=0. kvmweb"
            " switches forwarding on for its own interfaces alone.",
        )
