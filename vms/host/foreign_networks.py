"""libvirt's own networks: what they take once somebody starts them. Read only.

Those that run show in the routes of the host; one that is only defined shows nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, ip_interface
from typing import Any

from lxml import etree

from vms.host.drivers.domains import Domains

_CLASSES = ((128, 8), (192, 16), (224, 24))


def defined(domains: Domains) -> tuple[dict[str, str], ...]:
    """{name, subnet} of every network libvirt knows. Raises HostBusy, LibvirtError."""

    def listed(connection: Any) -> tuple[dict[str, str], ...]:
        return tuple(
            {"name": network.name(), "subnet": subnet}
            for network in connection.listAllNetworks(0)
            for subnet in subnets(network.XMLDesc(0))
        )

    return domains.ask(listed)


def subnets(xml: str) -> Iterator[str]:
    """The subnets of a network and those it routes (https://libvirt.org/formatnetwork.html)."""
    root = etree.fromstring(xml)
    for each in (*root.iterfind("ip"), *root.iterfind("route")):
        address = each.get("address", "")
        try:
            prefix = each.get("netmask") or each.get("prefix") or _usual_prefix(address)
            yield str(ip_interface(f"{address}/{prefix}").network)
        except ValueError:  # libvirt lets nobody define such a one
            continue


def _usual_prefix(address: str) -> int:
    """What libvirt takes where the definition does not say: the class of the address."""
    if ":" in address:
        return 64
    first = IPv4Address(address).packed[0]
    return next((prefix for end, prefix in _CLASSES if first < end), 24)
