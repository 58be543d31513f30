"""What the kernel has counted: per forward in our sets, per network on its bridge. Reads only.

A count is (stamp, packets, bytes) since what holds it was made; the stamp tells it from one made
later in the same place. The statistics of a bridge are those of what is routed: what guests send to
each other passes by. Formats: nf_tables.h, if_link.h (IFLA_STATS64).
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import NamedTuple, TypeAlias

from kvmweb.core.names import network_of
from networks.host.drivers.netlink import NETLINK_ROUTE, NetlinkSocket, attributes
from networks.host.drivers.nftables import STAMP, NftablesSocket, entry

Count: TypeAlias = tuple[int, int, int]

_GETLINK = 18
_IFLA_IFNAME, _IFLA_STATS64 = 3, 23
_KEY, _USERDATA, _EXPRESSION = 1, 6, 7
_VALUE, _EXPRESSION_DATA = 1, 2
_BYTES, _PACKETS = 1, 2
# An element with a key of four bytes and a counter, as we make them: the headers of element and
# key, the key, the headers of the expression "counter", its bytes, the header and number of its
# packets, then userdata that begins with the stamp.
_LAYOUT = ">4s8s4s24sQ4sQ4sc1xQ"
_SIZE = struct.calcsize(_LAYOUT)
NOTHING: Count = (0, 0, 0)
_SETS = ("acct_in", "acct_out", "acct_new")


class Counted(NamedTuple):
    """From the client to the guest, back, and connections (the packets of `new`)."""

    inward: Count = NOTHING
    outward: Count = NOTHING
    new: Count = NOTHING


def forwards() -> dict[int, Counted]:
    """By the number of the forward. Raises `Interrupted` when they changed meanwhile."""
    with closing(NftablesSocket()) as connection:
        return _joined(_counts(connection, name) for name in _SETS)


def some_forwards(numbers: Sequence[int]) -> dict[int, Counted]:
    """Of these, at a cost that does not grow with how many there are. Those that are not there are
    left out."""
    with closing(NftablesSocket()) as connection:
        return _joined(
            dict(
                _carefully(element)
                for listed in connection.counted(name, numbers)
                for _, element in attributes(listed)
            )
            for name in _SETS
        )


def _joined(sets: Iterable[dict[bytes, Count]]) -> dict[int, Counted]:
    inward, outward, new = sets
    return {
        int.from_bytes(key, sys.byteorder): Counted(
            inward.get(key, NOTHING), outward.get(key, NOTHING), new.get(key, NOTHING)
        )
        for key in inward.keys() | new.keys()
    }


def bridges() -> dict[str, Counted]:
    """By the name of the bridge; `inward` is to guests. The stamp is the interface's index. With a
    router of its own nothing is routed on a network's bridge, but on the way to the router."""
    found: dict[str, Counted] = {}
    routed: dict[str, Counted] = {}
    with NetlinkSocket(NETLINK_ROUTE) as connection:
        for payload in connection.dump(_GETLINK, bytes(16)):
            values = dict(attributes(payload, 16))
            name = values.get(_IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="replace")
            network = network_of(name)
            if network is not None and _IFLA_STATS64 in values:
                (index,) = struct.unpack_from("=i", payload, 4)
                counted = _bridge(index, values[_IFLA_STATS64])
                (found if name == network else routed)[network] = counted
    return found | routed


def _bridge(index: int, statistics: bytes) -> Counted:
    """What the bridge sends goes to guests; what it receives comes from them."""
    received, sent, received_bytes, sent_bytes = struct.unpack_from("=4Q", statistics)
    return Counted((index, sent, sent_bytes), (index, received, received_bytes))


def _counts(connection: NftablesSocket, name: str) -> dict[bytes, Count]:
    found: dict[bytes, Count] = {}
    for listed in connection.counting(name):
        if not _quickly(listed, found):
            found.update(_carefully(element) for _, element in attributes(listed))
    return found


def _quickly(listed: bytes, found: dict[bytes, Count]) -> bool:
    """Read a message whose elements are all laid out like its first, at a tenth of the cost of
    reading attributes; False when they are not, with `found` possibly wrong."""
    (length,) = struct.unpack_from("=H", listed) if listed else (0,)
    if length < _SIZE or length % 4 or len(listed) % length:
        return False
    first = struct.unpack_from(_LAYOUT, listed)
    if _carefully(listed[4:length]) != (first[2], (first[9], first[6], first[4])):
        return False
    same = first[0], first[1], first[3], first[5], first[7], first[8]
    each = struct.Struct(f"{_LAYOUT}{length - _SIZE}x")
    for head, keys, key, expression, octets, next_, packets, after, mark, stamp in each.iter_unpack(
        listed
    ):
        if (head, keys, expression, next_, after, mark) != same:
            return False
        found[key] = stamp, packets, octets
    return True


def _carefully(element: bytes) -> tuple[bytes, Count]:
    parts = dict(attributes(element))
    expression = dict(attributes(parts.get(_EXPRESSION, b"")))
    counter = dict(attributes(expression.get(_EXPRESSION_DATA, b"")))
    stamp, packets, octets = (
        int.from_bytes(data, "big")
        for data in (
            entry(parts.get(_USERDATA, b""), STAMP)[:8],
            counter.get(_PACKETS, b""),
            counter.get(_BYTES, b""),
        )
    )
    return dict(attributes(parts[_KEY]))[_VALUE], (stamp, packets, octets)
