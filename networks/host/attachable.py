"""Which interfaces of a host guests could be put on directly. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from networks.host.preflight import is_foreign

_CARDS = frozenset({"", "bond", "team", "vlan"})
_NOT_FOR_GUESTS = (
    (re.compile(r"virbr[0-9]"), "libvirt gives its own guests addresses there and translates them"),
    (re.compile(r"docker\d|docker_gwbridge|br-[0-9a-f]{12}$"), "Docker's containers are there"),
    (re.compile(r"podman\d|cni|lxcbr|lxdbr|incusbr"), "containers are there and are translated"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """An interface as the kernel has it; `kind` is empty of a network card, `enslaved` says that it
    belongs to a bridge or a bond."""

    name: str
    kind: str
    enslaved: bool = False
    loopback: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachable:
    """What guests could be on; `refused` is why they may not, empty when they may."""

    interface: str
    kind: Literal["bridge", "uplink"]
    refused: str = ""


def attachables(interfaces: Iterable[Interface], uplinks: Iterable[str]) -> Iterator[Attachable]:
    """All bridges that are not ours, and by macvtap all network cards and the uplinks."""
    leading = set(uplinks)
    for each in sorted(interfaces, key=lambda one: one.name):
        if not is_foreign(each.name) or each.loopback:
            continue
        if each.kind == "bridge":
            yield Attachable(interface=each.name, kind="bridge", refused=_refused(each.name))
        elif not each.enslaved and (each.kind in _CARDS or each.name in leading):
            yield Attachable(interface=each.name, kind="uplink")


def _refused(bridge: str) -> str:
    return next((why for pattern, why in _NOT_FOR_GUESTS if pattern.match(bridge)), "")
