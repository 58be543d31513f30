"""What the name server is told of a network, see `networks.host.resolver.zones`. Pure."""

from __future__ import annotations

import json

from networks.host.own_router import host_side
from networks.host.spec import NetworkSpec, ReservationSpec


def zone_file(spec: NetworkSpec) -> str | None:
    """The network's zone; None when nobody answers for names there.

    Guests that may go nowhere resolve each other and nothing else: a name server that asks
    outside is a way outside.
    """
    if spec.names is None or not spec.present:
        return None
    outer = host_side(spec)
    zone = {
        "bridge": outer.bridge,
        "listen": [outer.gateway],
        "subnets": [subnet for subnet in (outer.subnet, spec.subnet6) if subnet],
        "inside": [spec.subnet] if spec.transit else [],
        "domain": spec.names.domain,
        "forward": spec.mode != "isolated" and spec.egress != (),
        "upstreams": list(spec.names.upstreams),
        "names": {
            reservation.hostname.lower(): _addresses(spec, reservation)
            for reservation in spec.reservations
            if reservation.hostname
        },
    }
    return json.dumps(zone, indent=1, sort_keys=True) + "\n"


def _addresses(spec: NetworkSpec, reservation: ReservationSpec) -> list[str]:
    if spec.ipv6 != "off" and reservation.address6:
        return [reservation.address, reservation.address6]
    return [reservation.address]
