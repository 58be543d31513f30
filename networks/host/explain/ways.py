"""A network as packets of one family see it, so that a step is written once for both."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from networks.host.explain.steps import Step, broken
from networks.host.spec import Ipv6, Mode, NetworkSpec, ReservationSpec

Version = Literal[4, 6]

_MODES: dict[Ipv6, Mode] = {"off": "isolated", "nat66": "nat", "routed": "routed"}


def version_of(*addresses: str) -> Version:
    """The family of the first that is an address; IPv4 where none is."""
    named = next((each for each in addresses if each), "")
    return 6 if ":" in named else 4


def seen_by(
    spec: NetworkSpec, guest: ReservationSpec, version: Version
) -> tuple[NetworkSpec, ReservationSpec]:
    """The network and the guest with what they are in this family in place of IPv4's."""
    if version == 4:
        return spec, guest
    return network_seen_by(spec, version), replace(guest, address=guest.address6)


def network_seen_by(spec: NetworkSpec, version: Version) -> NetworkSpec:
    """The same of a network alone."""
    if version == 4:
        return spec
    return replace(
        spec,
        mode="isolated" if spec.mode == "isolated" else _MODES[spec.ipv6],
        subnet=spec.subnet6,
        gateway=spec.gateway6,
        source_address=spec.source_address6,
        source_pool=(),
    )


def no_ipv6() -> tuple[Step, ...]:
    """What is said of IPv6 in a network that has none."""
    return (
        broken(
            "family",
            "The network has IPv6",
            "The network has IPv4 alone.",
            wanted="A network with an IPv6 prefix.",
            remedy="Give the network IPv6, or use IPv4.",
        ),
    )
