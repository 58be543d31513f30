"""Specs as the panel would build them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from kvmweb.core.names import bridge, bridge_mac, port


def network(number: int, host_address: str, **changes: Any) -> dict[str, Any]:
    """A NAT network 10.60.NUMBER.0/24, one reservation, a forward of 8000 + NUMBER to it."""
    reservation, forward = str(uuid4()), str(uuid4())
    address = f"10.60.{number}.10"
    spec: dict[str, Any] = {
        "subject": str(uuid4()),
        "epoch": 1,
        "generation": 1,
        "present": True,
        "name": f"net{number}",
        "mode": "nat",
        "bridge": bridge(number),
        "bridge_mac": bridge_mac(number),
        "subnet": f"10.60.{number}.0/24",
        "gateway": f"10.60.{number}.1",
        "reservations": [
            {
                "id": reservation,
                "mac": f"52:54:00:00:00:{number:02x}",
                "address": address,
                "hostname": f"guest{number}",
                "port": port(number),
            }
        ],
        "forwards": [
            {
                "id": forward,
                "number": number,
                "protocol": "tcp",
                "public_address": host_address,
                "public_port": 8000 + number,
                "address": address,
                "port": 80,
            }
        ],
    }
    return {**spec, **changes}


def absent(spec: dict[str, Any], generation: int) -> dict[str, Any]:
    """The deletion of what `spec` describes."""
    return {**spec, "present": False, "generation": generation}


def vm(number: int, in_network: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A guest with an empty disk on the network's reservation: it runs, and boots nothing."""
    (reservation,) = in_network["reservations"]
    nic = {
        "id": str(uuid4()),
        "network": in_network["subject"],
        "bridge": in_network["bridge"],
        "tap": reservation["port"],
        "mac": reservation["mac"],
    }
    spec: dict[str, Any] = {
        "subject": str(uuid4()),
        "epoch": 1,
        "generation": 1,
        "present": True,
        "name": f"vm{number}",
        "domain": f"vm{number}",
        "power": "on",
        "force": True,
        "accelerator": "tcg",
        "memory_mib": 64,
        "disks": [{"id": str(uuid4()), "size_gib": 1}],
        "nics": [nic],
        "seed": {"instance_id": str(uuid4()), "hostname": f"vm{number}"},
    }
    return {**spec, **changes}
