"""Chains of other firewalls that drop what our networks forward, and what to do about them.

An `accept` of ours ends our chain alone; a chain of others on the same hook may still drop. We
never write their tables: the sentences here are for people. Chains that iptables-legacy keeps
outside of nftables and rules that reject before an `accept` are not seen.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from kvmweb.core.names import BRIDGE_PREFIX
from networks.host.drivers.nftables import ForeignChain, NftablesSocket

_FAMILIES = {"ip", "inet"}


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A foreign chain in the way of forwarded packets, named as `nft list chain` wants it."""

    chain: str
    remedy: str


def obstacles() -> tuple[Obstacle, ...]:
    """The chains on the forward hook whose policy drops IPv4."""
    with closing(NftablesSocket()) as connection:
        chains = list(connection.foreign_forward_chains())
    return tuple(
        Obstacle(f"{chain.family} {chain.table} {chain.name}", _remedy(chain))
        for chain in chains
        if chain.drops and chain.family in _FAMILIES
    )


def _remedy(chain: ForeignChain) -> str:
    if (chain.family, chain.table, chain.name) == ("ip", "filter", "FORWARD"):
        rule = f"iptables -I FORWARD {{}} {BRIDGE_PREFIX}+ -j ACCEPT"
        return f"Run: {rule.format('-i')}; {rule.format('-o')}"
    rule = f"nft insert rule {chain.family} {chain.table} {chain.name} {{}} '\"kw*\"' accept"
    return f"Run: {rule.format('iifname')}; {rule.format('oifname')}"
