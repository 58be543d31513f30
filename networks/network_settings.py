"""What can be changed about a network, and what a change means for guests that run. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from networks.ways import Rule

SMALLEST_MTU, LARGEST_MTU = 576, 9216
_DIRECTIONS = {
    "isolated": "its guests then reach each other only",
    "nat": "nobody outside then reaches them but by forwards",
    "routed": "they are then seen outside as themselves",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`sources` are public addresses: none is the host's own, several are a pool. `rules` are
    where guests may go; None is everywhere. `guarded` is of bridged networks: closed to all that
    comes by their bridge but for what rules open."""

    name: str
    mode: str
    mtu: int
    sources: frozenset[str]
    guests_apart: bool
    guarded: bool = True
    logs_refused: bool = False
    rules: tuple[Rule, ...] | None


def cut_off(before: Settings, after: Settings) -> list[str]:
    """What running guests lose by a change; empty when they lose nothing."""
    lost = []
    if before.mode != after.mode:
        lost.append(
            "Their open connections to and from the outside end;"
            f" {_DIRECTIONS.get(after.mode, '')}."
        )
    elif after.mode == "nat" and _loses_source(before.sources, after.sources):
        lost.append(
            "Their open connections to the outside that leave by another address than the new"
            " choice end."
        )
    if _narrows(before.rules, after.rules):
        lost.append("Their open connections to places that are no longer listed end.")
    if after.mode == "bridged" and after.guarded and not before.guarded:
        lost.append("Nobody begins connections to them any more, but where rules open them.")
    if after.guests_apart and not before.guests_apart:
        lost.append("They no longer reach each other, but for forwards.")
    return lost


def _loses_source(before: frozenset[str], after: frozenset[str]) -> bool:
    """The host's own address is none that is chosen."""
    return before != after if not before or not after else not before <= after


def _narrows(before: tuple[Rule, ...] | None, after: tuple[Rule, ...] | None) -> bool:
    if after is None:
        return False
    return before is None or not set(before) <= set(after)
