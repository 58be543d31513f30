"""One interface at a glance, for whoever only wants to know. Formats: rtnetlink(7)."""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass

from networks.host.drivers.netlink import (
    NETLINK_ROUTE,
    KernelRefused,
    NetlinkSocket,
    attributes,
    text,
)

_GETLINK = 18
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MASTER = 1, 3, 10
_IFF_UP, _IFF_LOWER_UP = 0x1, 0x10000


@dataclass(frozen=True, slots=True)
class Interface:
    """`connected` says that it is up and has a carrier; `master` is the bridge's index or 0."""

    index: int
    name: str
    mac: str
    up: bool
    connected: bool
    master: int


def interface(name: str) -> Interface | None:
    """The interface of this name in the namespace of the calling thread."""
    if not name:
        return None
    with NetlinkSocket(NETLINK_ROUTE) as connection:
        try:
            answers = connection.request(_GETLINK, bytes(16) + text(_IFLA_IFNAME, name))
        except KernelRefused:
            return None
    _, _, _, index, flags, _ = struct.unpack_from("=BBHiII", answers[0])
    found = dict(attributes(answers[0], 16))
    return Interface(
        index=index,
        name=name,
        mac=found.get(_IFLA_ADDRESS, b"").hex(":"),
        up=bool(flags & _IFF_UP),
        connected=bool(flags & _IFF_UP and flags & _IFF_LOWER_UP),
        master=int.from_bytes(found.get(_IFLA_MASTER, b""), sys.byteorder),
    )
