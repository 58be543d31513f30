"""Questions about a host, answered from what its monitor reported last.

A host not yet heard answers "nothing known".
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from kvmweb.core.errors import Invalid
from kvmweb.core.ipv6 import SUBNET_PREFIX
from kvmweb.hosts.models import Host

# What Linux uses when nobody set it (net.ipv4.ip_local_port_range).
DEFAULT_EPHEMERAL = (32768, 60999)
SSH_PORT = 22
_ANY = {"0.0.0.0", "::", "*"}  # noqa: S104  compared with, never bound to
_ANY6 = {"::", "*"}


def choose_host(name: str | None = None, *, uuid: Any = None) -> Host:
    """The host that was asked for, or the first one that takes new guests and answers."""
    hosts = Host.objects.usable()
    if name is not None or uuid is not None:
        wanted = hosts.filter(name=name) if name is not None else hosts.filter(uuid=uuid)
        if host := wanted.first():
            return host
        raise Invalid("There is no such host, or it takes no new guests.", field="host")
    candidates = sorted(hosts, key=lambda host: (host.is_silent, host.pk))
    if not candidates:
        raise Invalid(
            "No host can take this now.", field="host", remedy="Ask an operator to add a host."
        )
    return candidates[0]


def taken_networks(host: Host) -> Iterable[tuple[IPv4Network, str]]:
    """What the host itself routes or holds, each with a word for people."""
    for route in host.facts.get("routes", ()):
        network = ip_network(route, strict=False)
        if isinstance(network, IPv4Network) and network.prefixlen:
            yield network, f"the route {network} of the host"
    for entry in host.facts.get("addresses", ()):
        network = ip_network(f"{entry['address']}/{entry['prefix']}", strict=False)
        if isinstance(network, IPv4Network):
            yield network, f"the host's address {entry['address']}/{entry['prefix']}"
    for network, words in _libvirt_networks(host):
        if isinstance(network, IPv4Network):
            yield network, words


def _libvirt_networks(host: Host) -> Iterable[tuple[IPv4Network | IPv6Network, str]]:
    """Networks of libvirt itself; one that does not run now may be started at any time."""
    for entry in host.facts.get("libvirt_networks", ()):
        words = f"network “{entry['name']}” of libvirt on the host ({entry['subnet']})"
        yield ip_network(entry["subnet"]), words


def public_networks(host: Host) -> Iterable[tuple[IPv4Network, str]]:
    """The public addresses of the host, each with a word for people."""
    for address in host.public_addresses.all():
        if not address.is_ipv6:
            yield IPv4Network(address.address), f"the public address {address} of the host"


def routed_subnets(host: Host) -> list[IPv4Network]:
    """The public subnets that reach this host and that routed networks may use parts of."""
    return [IPv4Network(subnet) for subnet in host.routed_subnets]


def transit_block(host: Host) -> IPv4Network:
    """Of this the host knows networks with a router of their own by subnets."""
    return IPv4Network(host.transit_block)


def routed_prefixes6(host: Host) -> list[IPv6Network]:
    """The IPv6 prefixes that reach this host and that networks may use parts of."""
    return [IPv6Network(prefix) for prefix in host.routed_prefixes6]


def local_prefix6(host: Host) -> IPv6Network:
    """The private IPv6 prefix of which networks get their subnets."""
    return IPv6Network(host.local_prefix6)


def taken_networks6(
    host: Host, inside: Iterable[IPv6Network] = ()
) -> list[tuple[IPv6Network, str]]:
    """What the host itself routes or holds of IPv6. A network may lie `inside` a prefix that is
    routed to the host, though the host knows all of it, or more, by one route."""
    found: list[tuple[IPv6Network, str]] = []
    for route in host.facts.get("routes", ()):
        network = ip_network(route, strict=False)
        if isinstance(network, IPv6Network) and network.prefixlen > 1:
            found.append((network, f"the route {network} of the host"))
    for entry in host.facts.get("addresses", ()):
        network = ip_network(f"{entry['address']}/{entry['prefix']}", strict=False)
        if isinstance(network, IPv6Network):
            found.append((network, f"the host's address {entry['address']}/{entry['prefix']}"))
    found += [each for each in _libvirt_networks(host) if isinstance(each[0], IPv6Network)]  # type: ignore[misc]
    prefixes = list(inside)
    return [
        (network, words)
        for network, words in found
        if not (network.prefixlen < SUBNET_PREFIX and any(map(network.overlaps, prefixes)))
    ]


def ephemeral_ports(host: Host) -> tuple[int, int]:
    """The range, ends included, of source ports for the host's own connections."""
    low, high = host.facts.get("ephemeral_ports") or DEFAULT_EPHEMERAL
    return int(low), int(high)


def listening_ports(host: Host, address: str) -> set[tuple[str, int]]:
    """(protocol, port) pairs on which a program of the host answers at `address`."""
    wanted = ip_address(address)
    every = _ANY if wanted.version == 4 else _ANY6
    return {
        (entry["protocol"], int(entry["port"]))
        for entry in host.facts.get("listeners", ())
        if entry["address"] in every or ip_address(entry["address"]) == wanted
    }


def total_memory_mib(host: Host) -> int | None:
    """MiB of memory the host has, once it is known."""
    memory: int | None = host.facts.get("memory_mib")
    return memory


def total_cpus(host: Host) -> int | None:
    """Processors the host has, once it is known."""
    cpus: int | None = host.facts.get("cpus")
    return cpus
