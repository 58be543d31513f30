"""`python -m kvmweb.host explain WHAT [--from ADDRESS] [--to PLACE] [--in PORT]`: why something is
(not) reachable.

WHAT is a public endpoint (`198.51.100.11:20022/tcp`), a host name, the address, MAC or name of a
guest (its way out, or with `--in 443/tcp` that to a guest which is reachable as a whole), or the
name of a network, whose way to the network `--to` is told. Asks nobody and changes nothing: the
panel may be away.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from kvmweb.core.errors import Invalid
from kvmweb.host.config import HostConfig
from kvmweb.host.program.questions import explained
from networks.host.case import forward_case, guest_of, host_name_case
from networks.host.explain.steps import Case, Step, first_broken
from networks.host.spec import NetworkSpec
from networks.host.tasks import spec_store

_MARKS = {"ok": "✓", "broken": "✗", "unknown": "?"}
_PROTOCOLS: dict[str, Literal["tcp", "udp", "icmp"]] = {"tcp": "tcp", "udp": "udp", "icmp": "icmp"}


def run(config: HostConfig, what: str, source: str = "", to: str = "", into: str = "") -> int:
    """Prints the steps down to the first that is broken; returns 1 when one is."""
    steps = explained(config, _case(config, what, source, to, into))
    for line in _lines(steps):
        sys.stdout.write(line + "\n")
    return 0 if first_broken(steps) is None else 1


def _case(config: HostConfig, what: str, source: str, to: str, into: str) -> Case:
    specs = list(spec_store(config.paths).present())
    found = _endpoint_case(specs, what, source) or _guest_case(specs, what, to)
    if found is None:
        found = host_name_case(specs, what) or _peer_case(specs, what, to)
    if found is None:
        raise Invalid(
            f"This host was told of nothing that is {what}.",
            remedy="Name a public endpoint such as 198.51.100.11:20022/tcp, a guest, or two"
            " networks.",
        )
    if into:
        port, protocol = _port(into)
        found = replace(found, way="in", port=port, protocol=protocol, source=source)
    return found


def _endpoint_case(specs: list[NetworkSpec], what: str, source: str) -> Case | None:
    address, port, protocol = _place(what)
    return forward_case(specs, address, protocol, port, source) if port else None


def _guest_case(specs: list[NetworkSpec], what: str, to: str) -> Case | None:
    found = guest_of(specs, what)
    if found is None:
        return None
    address, port, protocol = _place(to)
    return Case(
        network=found[0].subject,
        reservation=found[1].id,
        destination=address,
        port=port,
        protocol=protocol,
        version=6 if what == found[1].address6 else 4,
    )


def _peer_case(specs: list[NetworkSpec], what: str, to: str) -> Case | None:
    named = {spec.name: spec.subject for spec in specs}
    if what not in named or to not in named:
        return None
    return Case(network=named[what], peer=named[to])


def _place(text: str) -> tuple[str, int, Literal["tcp", "udp", "icmp"]]:
    """`address`, `address:port` or `[address]:port`, and `/protocol` behind it."""
    place, _, protocol = text.partition("/")
    address, colon, port = place.rpartition(":")
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    elif ":" in address or not colon:
        address, port = place, ""
    known = _PROTOCOLS.get(protocol or "tcp", "tcp")
    return (address, int(port), known) if port.isdecimal() else (place, 0, known)


def _port(text: str) -> tuple[int, Literal["tcp", "udp", "icmp"]]:
    port, _, protocol = text.partition("/")
    if not port.isdecimal():
        return 0, _PROTOCOLS.get(port, "tcp")
    return int(port), _PROTOCOLS.get(protocol or "tcp", "tcp")


def _lines(steps: tuple[Step, ...]) -> Iterator[str]:
    for step in steps:
        yield f"{_MARKS[step.verdict]} {step.title}: {step.found}"
        if step.detail and step.verdict != "ok":
            yield f"    seen: {step.detail}"
        if step.verdict == "broken":
            yield f"    wanted: {step.wanted}"
            yield f"    remedy: {step.remedy}"
            return
