"""What else is on the host: addresses, routes, listeners, resolvers. By netlink and /proc only.

For the caller's thread: /proc/thread-self shows the namespace of the thread, /proc/self that of
the process. Formats: rtnetlink(7), proc(5).
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import NamedTuple

from networks.host.drivers.netlink import (
    NETLINK_ROUTE,
    NETLINK_SOCK_DIAG,
    KernelRefused,
    NetlinkSocket,
    attribute,
    attributes,
)

RESOLV_FILES = (
    Path("/etc/resolv.conf"),
    Path("/run/systemd/resolve/resolv.conf"),
    Path("/run/NetworkManager/no-stub-resolv.conf"),
)
_GETADDR, _GETROUTE = 22, 26
_IFA_ADDRESS, _IFA_LOCAL, _IFA_LABEL = 1, 2, 3
_IFA_F_SECONDARY = 0x01
_RTA_DESTINATION, _RTA_INTERFACE, _RTA_TABLE = 1, 4, 15
_RTN_UNICAST = 1
_TABLE_LOCAL, _TABLE_MAIN = 255, 254
_SOCK_DIAG_BY_FAMILY = 20
_LISTEN, _UNCONNECTED = 0x0A, 0x07
_ANY, _ANY6 = "0.0.0.0", "::"  # noqa: S104
_ZERO, _NO_INTERFACE = "00000000", "*"
Span = tuple[int, int, int]
_SOMEWHERE6 = socket.inet_pton(socket.AF_INET6, "2000::")


class Address(NamedTuple):
    """An address of an interface. A host has one for each network, and looks at all of them
    with every change."""

    interface: str
    address: str
    prefix: int
    secondary: bool = False

    @property
    def cidr(self) -> str:
        """The address with its prefix."""
        return f"{self.address}/{self.prefix}"

    @property
    def network(self) -> IPv4Network | IPv6Network:
        """The subnet the interface is in by this address."""
        return _network(self.address, self.prefix)

    @property
    def subnet(self) -> str:
        """The same in CIDR notation."""
        return _subnet(self.address, self.prefix)

    @property
    def span(self) -> Span:
        """The kind of the subnet, its first and its last address."""
        return _span(self.address, self.prefix)

    def of(self, interface: str) -> Address:
        """The same at an interface of this name."""
        return Address(interface, self.address, self.prefix, self.secondary)

    @property
    def is_link_local(self) -> bool:
        """Whether nothing but its own link can be reached by it."""
        return _is_link_local(self.address, self.prefix)


class Route(NamedTuple):
    """A route to a network through an interface, of any table but `local`. `protocol` says who
    made it (rtnetlink(7), rtm_protocol)."""

    number: int
    destination: str
    prefix: int
    table: int
    protocol: int

    @property
    def interface(self) -> str:
        """The interface's name, empty when it is gone meanwhile."""
        return _interface(self.number)

    @property
    def network(self) -> IPv4Network | IPv6Network:
        """What it leads to."""
        return _network(self.destination, self.prefix)

    @property
    def span(self) -> Span:
        """The kind of what it leads to, the first and the last address."""
        return _span(self.destination, self.prefix)


@lru_cache(maxsize=4096)
def _network(address: str, prefix: int) -> IPv4Network | IPv6Network:
    return ip_network(f"{address}/{prefix}", strict=False)


@lru_cache(maxsize=4096)
def _subnet(address: str, prefix: int) -> str:
    return str(_network(address, prefix))


@lru_cache(maxsize=4096)
def _span(address: str, prefix: int) -> Span:
    return span(_network(address, prefix))


def span(network: IPv4Network | IPv6Network) -> Span:
    """The kind of a network (4 or 6), its first and its last address."""
    first = int(network.network_address)
    return network.version, first, first + network.num_addresses - 1


@lru_cache(maxsize=4096)
def _is_link_local(address: str, prefix: int) -> bool:
    return _network(address, prefix).is_link_local


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that waits for anybody; address 0.0.0.0 or :: means all of its family."""

    protocol: str
    address: str
    port: int


def addresses() -> list[Address]:
    """All IPv4 addresses, loopback's included."""
    return [address for _, address in _addresses(socket.AF_INET)]


def addresses6() -> list[Address]:
    """All IPv6 addresses, those of loopback and of links included."""
    return [address for _, address in _addresses(socket.AF_INET6)]


def indexed_addresses() -> Iterator[tuple[int, Address]]:
    """All addresses of both kinds, with the index of their interface."""
    yield from _addresses(socket.AF_INET)
    yield from _addresses(socket.AF_INET6)


def _addresses(family: int) -> Iterator[tuple[int, Address]]:
    with NetlinkSocket(NETLINK_ROUTE) as connection:
        for payload in connection.dump(_GETADDR, struct.pack("=BBBBI", family, 0, 0, 0, 0)):
            yield decoded_address(payload)


def decoded_address(payload: bytes) -> tuple[int, Address]:
    """An address and the index of its interface, from a message about it."""
    family, prefix, flags, _, index = struct.unpack_from("=BBBBI", payload)
    values = dict(attributes(payload, 8))
    value = values.get(_IFA_LOCAL) or values[_IFA_ADDRESS]
    # A label is the interface's name, with a colon and more behind it for an alias.
    label = values.get(_IFA_LABEL, b"").rstrip(b"\0").decode().partition(":")[0]
    secondary = bool(flags & _IFA_F_SECONDARY)
    shown = socket.inet_ntop(family, value)
    return index, Address(label or _interface(index), shown, prefix, secondary)


def routes() -> list[Route]:
    """All IPv4 unicast routes with an interface."""
    return list(_routes(socket.AF_INET))


def routes6() -> list[Route]:
    """All IPv6 unicast routes with an interface, but for those of links."""
    return [route for route in _routes(socket.AF_INET6) if not route.network.is_link_local]


def uplinks() -> tuple[str, ...]:
    """The interfaces of the default routes of the main table, each once (proc(5), net/route)."""
    with Path("/proc/thread-self/net/route").open() as lines:
        found = {words[0] for line in lines if (words := line.split())[1:8:6] == [_ZERO, _ZERO]}
    ways = {_interface(number) for number in _ways_out6()}
    return tuple(sorted((found | ways) - {_NO_INTERFACE, ""}))


def _ways_out6() -> set[int]:
    """Where IPv6 leaves. The kernel is asked for a way, not for its routes: every interface has
    some of those, so thousands of guests would be read with each look."""
    request = struct.pack("=BBBBBBBBI", socket.AF_INET6, 128, 0, 0, 0, 0, 0, 0, 0)
    with NetlinkSocket(NETLINK_ROUTE) as connection:
        try:
            answers = connection.request(
                _GETROUTE, request + attribute(_RTA_DESTINATION, _SOMEWHERE6)
            )
        except KernelRefused:  # no way, or no IPv6 at all
            return set()
    values = [(payload[7], dict(attributes(payload, 12))) for payload in answers]
    return {
        struct.unpack("=I", found[_RTA_INTERFACE])[0]
        for kind, found in values
        if kind == _RTN_UNICAST and _RTA_INTERFACE in found
    }


def _routes(family: int) -> Iterator[Route]:
    nowhere = bytes(4 if family == socket.AF_INET else 16)
    request = struct.pack("=BBBBBBBBI", family, 0, 0, 0, 0, 0, 0, _RTN_UNICAST, 0)
    with NetlinkSocket(NETLINK_ROUTE).filtered() as connection:
        for payload in connection.dump(_GETROUTE, request):
            _, prefix, _, _, table, protocol, _, kind = struct.unpack_from("=BBBBBBBB", payload)
            if kind != _RTN_UNICAST or table == _TABLE_LOCAL:
                continue
            values = dict(attributes(payload, 12))
            if _RTA_TABLE in values:
                (table,) = struct.unpack("=I", values[_RTA_TABLE])
            if _RTA_INTERFACE in values:
                (index,) = struct.unpack("=I", values[_RTA_INTERFACE])
                destination = values.get(_RTA_DESTINATION, nowhere)
                shown = socket.inet_ntop(family, destination)
                yield Route(index, shown, prefix, table, protocol)


def listeners() -> frozenset[Listener]:
    """TCP sockets that listen and UDP sockets that are not connected."""
    found = {each for suffix in ("", "6") for each in _listed("udp", suffix, _UNCONNECTED)}
    try:
        return frozenset(found.union(_tcp_listeners()))
    except KernelRefused:  # a kernel without tcp_diag
        listed = (each for suffix in ("", "6") for each in _listed("tcp", suffix, _LISTEN))
        return frozenset(found.union(listed))


def resolvers(files: Iterable[Path] = RESOLV_FILES) -> tuple[str, ...]:
    """The IPv4 name servers the host itself uses, from the first file that has one which is not
    on loopback: a stub resolver's address would mean the guest itself to a guest."""
    for file in files:
        found = dict.fromkeys(_nameservers(file))
        if found:
            return tuple(found)
    return ()


def _nameservers(file: Path) -> Iterator[str]:
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                address = ip_address(words[1])
            except ValueError:
                continue
            if address.version == 4 and not (address.is_loopback or address.is_unspecified):
                yield str(address)


def _tcp_listeners() -> Iterator[Listener]:
    """By sock_diag(7): /proc/net/tcp walks all connections for the few that listen."""
    with NetlinkSocket(NETLINK_SOCK_DIAG) as connection:
        for family in (socket.AF_INET, socket.AF_INET6):
            request = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, 1 << _LISTEN)
            for payload in connection.dump(_SOCK_DIAG_BY_FAMILY, request + bytes(48)):
                port = int.from_bytes(payload[4:6], "big")
                data = payload[8:12] if family == socket.AF_INET else payload[8:24]
                yield from (Listener("tcp", address, port) for address in _shown(data))


def _listed(protocol: str, suffix: str, state: int) -> Iterator[Listener]:
    """Listening TCP sockets stand first in the file, so reading stops at the first other one."""
    file = Path(f"/proc/thread-self/net/{protocol}{suffix}")
    try:
        stream = file.open()
    except FileNotFoundError:  # a kernel without IPv6
        return
    with stream:
        next(stream, None)
        for line in stream:
            words = line.split()
            if int(words[3], 16) == state:
                host, port = words[1].split(":")
                for address in _decoded(host):
                    yield Listener(protocol, address, int(port, 16))
            elif protocol == "tcp":
                return


def _decoded(host: str) -> tuple[str, ...]:
    """Addresses stand as words in the order of the machine."""
    words = [int(host[at : at + 8], 16) for at in range(0, len(host), 8)]
    data = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
    return _shown(data)


def _shown(data: bytes) -> tuple[str, ...]:
    """Which addresses such a socket takes: one that waits on :: takes IPv4 too."""
    if len(data) == 4:
        return (socket.inet_ntop(socket.AF_INET, data),)
    address = IPv6Address(data)
    if address == IPv6Address(_ANY6):
        return _ANY, _ANY6
    return (str(address.ipv4_mapped or address),)


def _interface(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:  # gone meanwhile
        return ""
