"""What a host says of itself, checked before pages and actions believe it.

A host may be broken, of another version or in a thief's hands; its word must not break the panel.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Annotated, Any, Literal, TypedDict

import msgspec
from msgspec import Meta

from kvmweb.core.errors import Invalid

_Long = Annotated[str, Meta(max_length=2000)]
_Text = Annotated[str, Meta(max_length=500)]
_Port = Annotated[int, Meta(ge=0, le=65535)]
_Amount = Annotated[float, Meta(ge=0)]


class _Address(TypedDict):
    address: str
    prefix: Annotated[int, Meta(ge=0, le=128)]
    interface: _Text


class _Listener(TypedDict):
    protocol: Literal["tcp", "udp"]
    address: str
    port: _Port


class _Finding(TypedDict):
    id: _Text
    level: Literal["bad", "warn", "note"]
    found: _Long
    breaks: _Long
    remedy: _Long
    does: _Long


class _LibvirtNetwork(TypedDict):
    name: _Text
    subnet: _Text


class _Attachable(TypedDict):
    interface: Annotated[str, Meta(min_length=1, max_length=15)]
    kind: Literal["bridge", "uplink"]
    refused: _Text


class _Facts(TypedDict, total=False):
    """The fields of `kvmweb.host.facts.HostFacts` that are known here, all of them optional."""

    cpus: Annotated[int, Meta(ge=1, le=1 << 16)]
    memory_mib: Annotated[int, Meta(ge=1, le=1 << 40)]
    memory_available_mib: Annotated[int, Meta(ge=0, le=1 << 40)]
    disk_total_gib: _Amount
    disk_free_gib: _Amount
    kernel: _Text
    accelerator: Literal["kvm", "tcg"] | None
    accelerator_reason: Annotated[str, Meta(max_length=5000)]
    libvirt_version: _Text | None
    qemu_version: _Text | None
    libvirt_networks: Annotated[list[_LibvirtNetwork], Meta(max_length=1000)]
    addresses: Annotated[list[_Address], Meta(max_length=10_000)]
    routes: Annotated[list[_Text], Meta(max_length=10_000)]
    listeners: Annotated[list[_Listener], Meta(max_length=70_000)]
    uplinks: Annotated[list[_Text], Meta(max_length=1000)]
    findings: Annotated[list[_Finding], Meta(max_length=200)]
    attachables: Annotated[list[_Attachable], Meta(max_length=10_000)]
    resolvers: Annotated[list[_Text], Meta(max_length=100)]
    ephemeral_ports: tuple[_Port, _Port]
    version: _Text


def parse_facts(said: object) -> dict[str, Any]:
    """The facts that are known here. Raises Invalid where they cannot be true."""
    try:
        facts: dict[str, Any] = msgspec.convert(said, _Facts)
        for address in facts.get("addresses", ()):
            ip_network(f"{address['address']}/{address['prefix']}", strict=False)
        for route in facts.get("routes", ()):
            ip_network(route, strict=False)
        for network in facts.get("libvirt_networks", ()):
            ip_network(network["subnet"])
        for listener in facts.get("listeners", ()):
            _refuse_no_address(listener["address"])
    except (msgspec.ValidationError, ValueError) as error:
        raise Invalid(f"The host's facts cannot be true: {error}", field="facts") from error
    return msgspec.to_builtins(facts)  # type: ignore[no-any-return]


def _refuse_no_address(text: str) -> None:
    if text != "*":
        ip_address(text)
