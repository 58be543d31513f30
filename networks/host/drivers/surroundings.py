"""The addresses and uplinks of the host, read again only when the kernel says that some changed.

A host has an address and a route for each network, and every change of any network looks at them
several times.
"""

from __future__ import annotations

import select

from networks.host.drivers import hostfacts
from networks.host.drivers.hostfacts import Address
from networks.host.drivers.netlink import NETLINK_ROUTE, NetlinkSocket

_GROUPS = 1 << 0 | 1 << 4 | 1 << 6  # links, which may be renamed; IPv4 addresses; IPv4 routes
_GROUPS |= 1 << 8 | 1 << 10  # those of IPv6


class Surroundings:
    """What it knows is of the namespace and the thread that made it."""

    def __init__(self) -> None:
        self._news = NetlinkSocket(NETLINK_ROUTE, _GROUPS)
        self._addresses: list[Address] = []
        self._uplinks: tuple[str, ...] = ()
        self._known = False

    def close(self) -> None:
        """Close the socket."""
        self._news.close()

    def addresses(self) -> list[Address]:
        """All addresses, loopback's and those of links included."""
        self._read()
        return self._addresses

    def uplinks(self) -> tuple[str, ...]:
        """The interfaces of the default routes, each once."""
        self._read()
        return self._uplinks

    def _read(self) -> None:
        """News are taken first: what changes while it is read is news for the next time."""
        if not self._has_news() and self._known:
            return
        self._addresses = [*hostfacts.addresses(), *hostfacts.addresses6()]
        self._uplinks = hostfacts.uplinks()
        self._known = True

    def _has_news(self) -> bool:
        found = False
        while select.select([self._news], [], [], 0)[0]:
            found = True
            try:
                list(self._news.receive())
            except OSError:  # ENOBUFS: there was more than the socket holds
                continue
        return found
