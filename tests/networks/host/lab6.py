"""The lab with IPv6: the same host and internet, and guests that make their own addresses."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Network
from typing import Any, Literal

from kvmweb.core.ipv6 import interface_address
from networks.host.spec import ForwardSpec, NetworkSpec, ReservationSpec
from tests.netns import Namespace, eventually
from tests.networks.host.lab import Lab, forward, network

OUTSIDE6 = "2001:db8::1"
PUBLIC6 = "2001:db8::10"
SECOND_PUBLIC6 = "2001:db8::11"
ROUTED6 = "2001:db8:0:60::/60"
DEADLINE = 15.0


def connect6(lab: Lab) -> None:
    """Give the host and the internet IPv6; the internet routes a prefix to the host."""
    lab.internet.ip(f"-6 address add {OUTSIDE6}/64 dev eth0 nodad")
    for address in (PUBLIC6, SECOND_PUBLIC6):
        lab.host.ip(f"-6 address add {address}/64 dev up0 nodad")
    lab.host.ip(f"-6 route add default via {OUTSIDE6}")
    lab.internet.ip(f"-6 route add {ROUTED6} via {PUBLIC6}")


def network6(
    number: int = 1,
    guests: int = 2,
    ipv6: Literal["nat66", "routed"] = "nat66",
    source: str | None = SECOND_PUBLIC6,
) -> NetworkSpec:
    """Network `number` with fd00:0:0:6<number>::/64, or the same of the routed prefix."""
    subnet = f"fd00:0:0:6{number}::/64" if ipv6 == "nat66" else f"2001:db8:0:6{number}::/64"
    return with_ipv6(network(number, guests), subnet, ipv6, source)


def with_ipv6(
    spec: NetworkSpec,
    subnet: str,
    ipv6: Literal["nat66", "routed"] = "nat66",
    source: str | None = SECOND_PUBLIC6,
) -> NetworkSpec:
    prefix = IPv6Network(subnet)
    reservations = tuple(
        replace(each, address6=str(interface_address(prefix, each.mac)))
        for each in spec.reservations
    )
    return replace(
        spec,
        ipv6=ipv6,
        subnet6=subnet,
        gateway6=str(prefix.network_address + 1),
        source_address6=source if ipv6 == "nat66" else None,
        reservations=reservations,
    )


def forward6(
    network: int, number: int, target: ReservationSpec, protocol: str = "tcp", port: int = 80
) -> ForwardSpec:
    """From port 9000 + `number` of the host's first IPv6 address."""
    made = forward(network, number, target, protocol=protocol, public_port=9000 + number, port=port)
    return replace(made, public_address=PUBLIC6, address=target.address6)


def boot(*guests: Namespace) -> None:
    """Have guests ask for routers now, as those that start do, and take addresses untested."""
    for guest in guests:
        guest.sysctl("ipv6/conf/eth0/router_solicitation_delay", "0")
        guest.sysctl("ipv6/conf/eth0/dad_transmits", "0")
        guest.ip("link set eth0 down")
        guest.ip("link set eth0 up")


def settled(guest: Namespace, reservation: ReservationSpec) -> bool:
    """Whether the guest made itself the address that was foreseen, and has a way out."""
    return eventually(lambda: _has(guest, reservation.address6), DEADLINE)


def addresses6(namespace: Namespace, device: str = "eth0") -> list[dict[str, Any]]:
    """The IPv6 addresses of an interface that are good beyond its link, as `ip -j` has them."""
    shown = namespace.ip(f"-6 address show dev {device} scope global")
    # What does not match the scope is shown as an empty object.
    return [each for link in shown for each in link.get("addr_info", []) if "local" in each]


def _has(guest: Namespace, address: str) -> bool:
    ready = [each["local"] for each in addresses6(guest) if not each.get("tentative")]
    return ready == [address] and bool(guest.ip("-6 route show default"))
