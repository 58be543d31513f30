"""One interface at a glance, for whoever only wants to know. Formats: rtnetlink(7)."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from networks.host.drivers.netlink import (
    NETLINK_ROUTE,
    KernelRefused,
    NetlinkSocket,
    attributes,
    text,
)

_GETLINK = 18
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MASTER, _IFLA_LINKINFO = 1, 3, 10, 18
_INFO_KIND = 1
_IFF_UP, _IFF_LOWER_UP = 0x1, 0x10000


@dataclass(frozen=True, slots=True)
class Interface:
    """`connected` says that it is up and has a carrier; `master` is the bridge's index or 0;
    `kind` is as `ip -d link` says, empty of a network card's."""

    index: int
    name: str
    mac: str
    up: bool
    connected: bool
    master: int
    kind: str


def interface(name: str) -> Interface | None:
    """The interface of this name in the namespace of the calling thread."""
    if not name:
        return None
    with NetlinkSocket(NETLINK_ROUTE) as connection:
        try:
            answers = connection.request(_GETLINK, bytes(16) + text(_IFLA_IFNAME, name))
        except KernelRefused:
            return None
    return _seen(answers[0])


def ports(bridge: Interface) -> Iterator[Interface]:
    """What is plugged into the bridge."""
    with NetlinkSocket(NETLINK_ROUTE) as connection:
        links = [_seen(payload) for payload in connection.dump(_GETLINK, bytes(16))]
    yield from (link for link in links if link.master == bridge.index)


def _seen(payload: bytes) -> Interface:
    _, _, _, index, flags, _ = struct.unpack_from("=BBHiII", payload)
    found = dict(attributes(payload, 16))
    info = dict(attributes(found.get(_IFLA_LINKINFO, b"")))
    return Interface(
        index=index,
        name=_string(found.get(_IFLA_IFNAME, b"")),
        mac=found.get(_IFLA_ADDRESS, b"").hex(":"),
        up=bool(flags & _IFF_UP),
        connected=bool(flags & _IFF_UP and flags & _IFF_LOWER_UP),
        master=int.from_bytes(found.get(_IFLA_MASTER, b""), sys.byteorder),
        kind=_string(info.get(_INFO_KIND, b"")),
    )


def _string(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")
