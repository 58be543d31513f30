"""What a plan would do, for people: its sentences, what lies behind each, whom it touches. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from ipaddress import ip_address, ip_network

from networks.host.elements import Element
from networks.host.ops import EndFlows, Op
from networks.host.own_router import to_host
from networks.host.spec import NetworkSpec
from networks.host.state import DhcpFile

_LINES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """One op: what it says when it is done, and the elements, rules, files or settings behind."""

    sentence: str
    detail: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """`guests` are the names of those that may notice, `refused` why an object is left out."""

    steps: tuple[PlannedStep, ...] = ()
    guests: tuple[str, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)


def network_preview(
    before: NetworkSpec | None, spec: NetworkSpec, ops: Iterable[Op], refused: dict[str, str]
) -> Preview:
    """What applying `spec` where `before` was would do by `ops`."""
    planned = list(ops)
    return Preview(
        steps=tuple(PlannedStep(sentence=op.sentence, detail=detail(op)) for op in planned),
        guests=tuple(sorted(set(_guests(before, spec, planned)))),
        refused=refused,
    )


def detail(op: Op) -> tuple[str, ...]:
    """What is behind any op: a line for each element, file or value of its fields; what an op does
    not show of itself stays with it."""
    lines = list(_all_lines(op))
    more = len(lines) - _LINES
    return (*lines[:_LINES], f"and {more} more") if more > 0 else tuple(lines)


def _lines(name: str, value: object) -> Iterator[str]:
    if isinstance(value, frozenset | tuple | list) and not isinstance(value, Element):
        for one in sorted(value, key=str):
            yield from _lines(name, one)
    elif isinstance(value, Element):
        key, data = (" . ".join(str(part) for part in side) for side in (value.key, value.value))
        sign = {"add": "+ ", "remove": "- "}.get(name, "")
        yield f"{sign}{value.family} {value.name} {{ {key}{' : ' + data if data else ''} }}"
    elif isinstance(value, DhcpFile):
        yield f"{value.folder}/{value.name}: {value.text.strip()}"
    elif value not in ("", None, False):
        yield from (f"{name}: {line}" for line in str(value).splitlines())


def _guests(before: NetworkSpec | None, spec: NetworkSpec, ops: list[Op]) -> Iterator[str]:
    """Those whose address, port or MAC stands in an op; all of a subnet whose flows end."""
    known = (*spec.reservations, *(before.reservations if before else ()))
    words = {word for op in ops for word in _words(op)}
    subnets = [ip_network(each) for op in ops if isinstance(op, EndFlows) for each in op.subnets]
    for each in known:
        known_as = to_host(spec, each.address)
        named = ({each.address, known_as, each.port, each.mac.lower()} - {""}) & words
        address = ip_address(known_as) if known_as else None
        if named or any(address in subnet for subnet in subnets if address is not None):
            yield each.hostname


def _words(op: Op) -> Iterator[str]:
    for line in _all_lines(op):
        yield from line.replace(",", " ").split()


def _all_lines(op: Op) -> Iterator[str]:
    for each in (one for one in fields(op) if one.repr):
        yield from _lines(each.name, getattr(op, each.name))
