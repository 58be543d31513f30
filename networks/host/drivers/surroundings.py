"""The addresses, routes and uplinks of the host, kept up to date by what the kernel tells.

A host has an address and a route for each network, and every change of any network looks at them
several times. So what is told of our own bridges and ports is noted one by one, and only what is
told of other interfaces has everything read again: a change costs the same with ten networks or
thousands. Everything is read then because the kernel does not tell of every route that goes with a
link (fib_table_flush, net/ipv4/fib_trie.c).
"""

from __future__ import annotations

import select
import struct
import sys
from collections.abc import Iterator

from kvmweb.core.names import BRIDGE_PREFIX, PORT_PREFIX
from networks.host.drivers import hostfacts
from networks.host.drivers.hostfacts import Address, Route
from networks.host.drivers.netlink import NETLINK_ROUTE, Message, NetlinkSocket, attributes

_GROUPS = 1 << 0 | 1 << 4 | 1 << 6  # links, which may be renamed; IPv4 addresses; IPv4 routes
_GROUPS |= 1 << 8 | 1 << 10  # those of IPv6
_NEWLINK, _DELLINK, _NEWADDR, _DELADDR = 16, 17, 20, 21
_IFLA_IFNAME, _RTA_INTERFACE = 3, 4
_MADE = 0xFFFFFFFF  # what is said to have changed of a link that is new
_RTPROT_KERNEL = 2
_OURS = (BRIDGE_PREFIX, PORT_PREFIX)
Place = tuple[int, str, int]


class Surroundings:
    """What it knows is of the namespace and the thread that made it."""

    def __init__(self) -> None:
        self._news = NetlinkSocket(NETLINK_ROUTE, _GROUPS)
        self._held: dict[Place, Address] = {}
        self._names: dict[int, str] = {}
        self._routes: list[Route] = []
        self._uplinks: tuple[str, ...] = ()
        self._current = False
        self._addresses: list[Address] = []
        self._subnets: list[tuple[str, str]] = []
        self._listed = False

    def close(self) -> None:
        """Close the socket."""
        self._news.close()

    def addresses(self) -> list[Address]:
        """All addresses, loopback's and those of links included."""
        self._read()
        return self._addresses

    def other_subnets(self, bridge: str) -> frozenset[str]:
        """The subnets of our other networks."""
        self._read()
        return frozenset(subnet for name, subnet in self._subnets if name != bridge)

    def routes(self) -> list[Route]:
        """All IPv4 unicast routes with an interface, but for those that follow from the addresses
        of our bridges."""
        self._read()
        return self._routes

    def uplinks(self) -> tuple[str, ...]:
        """The interfaces of the default routes, each once."""
        self._read()
        return self._uplinks

    def _read(self) -> None:
        """News are taken first: what changes while all is read is news for the next time."""
        for message in self._told():
            if message is None:
                self._names.clear()
            if message is None or not self._noted(message):
                self._current = False
        if not self._current:
            self._read_all()
            self._current = True
        if not self._listed:
            self._addresses = list(self._held.values())
            self._subnets = [
                (each.interface, each.subnet)
                for each in self._addresses
                if each.interface.startswith(BRIDGE_PREFIX) and not each.is_link_local
            ]
            self._listed = True

    def _read_all(self) -> None:
        found = list(hostfacts.indexed_addresses())
        self._held = {(index, each.address, each.prefix): each for index, each in found}
        self._names |= {index: each.interface for index, each in found}
        self._routes = [route for route in hostfacts.routes() if not _follows(route)]
        self._uplinks = hostfacts.uplinks()
        self._listed = False

    def _told(self) -> Iterator[Message | None]:
        """What was told since; None where it was more than the socket holds."""
        while select.select([self._news], [], [], 0)[0]:
            try:
                for message, _ in self._news.receive():
                    yield message
            except OSError:  # ENOBUFS
                yield None

    def _noted(self, message: Message) -> bool:
        """Note what is told of an interface of ours; False where all has to be read again."""
        payload = message.payload
        if message.kind in {_NEWLINK, _DELLINK}:
            return self._link(message)
        if message.kind in {_NEWADDR, _DELADDR}:
            index, address = hostfacts.decoded_address(payload)
            place = index, address.address, address.prefix
            if not self._is_ours(index):
                return False
            self._listed = False
            if message.kind == _NEWADDR:
                self._held[place] = address.of(self._names[index])
            else:
                self._held.pop(place, None)
            return True
        (protocol,) = struct.unpack_from("=5xB", payload)
        index = int.from_bytes(
            dict(attributes(payload, 12)).get(_RTA_INTERFACE, b""), sys.byteorder
        )
        return protocol == _RTPROT_KERNEL and self._is_ours(index)

    def _link(self, message: Message) -> bool:
        _, _, _, index, _, changed = struct.unpack_from("=BBHiII", message.payload)
        name = dict(attributes(message.payload, 16)).get(_IFLA_IFNAME, b"")
        now = name.rstrip(b"\0").decode(errors="replace")
        before = self._names.get(index, now if changed == _MADE else "")
        if message.kind == _DELLINK:
            self._names.pop(index, None)
            return now.startswith(_OURS)
        self._names[index] = now
        return before == now and now.startswith(_OURS)

    def _is_ours(self, index: int) -> bool:
        return self._names.get(index, "").startswith(_OURS)


def _follows(route: Route) -> bool:
    return route.protocol == _RTPROT_KERNEL and route.interface.startswith(BRIDGE_PREFIX)
