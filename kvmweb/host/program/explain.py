"""`python -m kvmweb.host explain WHAT [--from ADDRESS]`: why something is (not) reachable.

WHAT is a public endpoint (`198.51.100.11:20022/tcp`), or the address or name of a guest, for its
way out. Asks nobody and changes nothing: the panel may be away.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from kvmweb.core.errors import Invalid
from kvmweb.host.config import HostConfig
from kvmweb.host.program.questions import explained
from networks.host.case import forward_case, outbound_case
from networks.host.explain.steps import Case, Step, first_broken
from networks.host.tasks import spec_store

_MARKS = {"ok": "✓", "broken": "✗", "unknown": "?"}


def run(config: HostConfig, what: str, source: str = "") -> int:
    """Prints the steps down to the first that is broken; returns 1 when one is."""
    steps = explained(config, _case(config, what, source))
    for line in _lines(steps):
        sys.stdout.write(line + "\n")
    return 0 if first_broken(steps) is None else 1


def _case(config: HostConfig, what: str, source: str) -> Case:
    specs = spec_store(config.paths).present()
    place, _, protocol = what.partition("/")
    address, colon, port = place.partition(":")
    if colon and port.isdecimal():
        found = forward_case(specs, address, protocol or "tcp", int(port), source)
    else:
        found = outbound_case(specs, what)
    if found is None:
        raise Invalid(
            f"This host was told of nothing that is {what}.",
            remedy="Name a public endpoint such as 198.51.100.11:20022/tcp, or a guest.",
        )
    return found


def _lines(steps: tuple[Step, ...]) -> Iterator[str]:
    for step in steps:
        yield f"{_MARKS[step.verdict]} {step.title}: {step.found}"
        if step.detail and step.verdict != "ok":
            yield f"    seen: {step.detail}"
        if step.verdict == "broken":
            yield f"    wanted: {step.wanted}"
            yield f"    remedy: {step.remedy}"
            return
