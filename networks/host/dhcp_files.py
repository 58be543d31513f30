"""What dnsmasq is told of a network: one file of options, one file per reservation. Pure.

The formats are those of `dhcp-option` and `dhcp-host` in dnsmasq(8). A request has its bridge's
name for a tag, every option asks for it, so one dnsmasq serves all networks without a network
ever seeing another's options. Reservations set no tag: dnsmasq 2.90 frees those of a guest that
had a lease wrongly, and ends by SIGSEGV at the next SIGHUP. A file per reservation means that a
new one is read by inotify without disturbing dnsmasq.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Network

from networks.host.spec import NetworkSpec, ReservationSpec
from networks.host.state import DhcpFile

_DEFAULT_MTU = 1500
_DEFAULT_LEASE = 3600
# What `dhcp-host` takes for an order or for a lease time; such a guest has its name from its seed.
_MEANS_MORE = re.compile(r"ignore|infinite|[0-9]+[smhdw]?", re.IGNORECASE)


def dhcp_files(spec: NetworkSpec, resolvers: Iterable[str]) -> frozenset[DhcpFile]:
    """Every file the network should have."""
    if not spec.present or spec.mode == "bridged":
        return frozenset()
    hosts = (_host(spec, reservation) for reservation in spec.reservations)
    return frozenset([_options(spec, tuple(resolvers)), *hosts])


def _host(spec: NetworkSpec, reservation: ReservationSpec) -> DhcpFile:
    mac = reservation.mac.lower()
    parts = [mac, reservation.address]
    if reservation.hostname and not _MEANS_MORE.fullmatch(reservation.hostname):
        parts.append(reservation.hostname)
    if spec.lease_seconds != _DEFAULT_LEASE:
        parts.append(str(spec.lease_seconds))
    name = f"{spec.bridge}.{mac.replace(':', '')}"
    return DhcpFile("hosts", name, ",".join(parts) + "\n")


def _options(spec: NetworkSpec, resolvers: tuple[str, ...]) -> DhcpFile:
    subnet = IPv4Network(spec.subnet)
    options = [f"option:netmask,{subnet.netmask}", f"28,{subnet.broadcast_address}"]
    if spec.mode != "isolated":
        options.append(f"option:router,{spec.gateway}")
    else:
        options.append("option:router")
    if spec.names is not None:
        options += [
            f"option:dns-server,{spec.gateway}",
            f"option:domain-name,{spec.names.domain}",
            f"option:domain-search,{spec.names.domain}",
        ]
    elif spec.mode != "isolated" and resolvers:
        options.append(f"option:dns-server,{','.join(resolvers)}")
    if spec.mtu != _DEFAULT_MTU:
        options.append(f"option:mtu,{spec.mtu}")
    return DhcpFile(
        "opts", spec.bridge, "".join(f"tag:{spec.bridge},{option}\n" for option in options)
    )
