"""What the kernel has noted of refused packets, see `networks.host.noting`. Reads only.

Formats: include/uapi/linux/netfilter/nf_tables.h (NFTA_SET_ELEM_*, NFTA_COUNTER_*).
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

from kvmweb.core.errors import HostBusy
from networks.host.drivers.netlink import Interrupted, attributes
from networks.host.drivers.nftables import NftablesSocket
from networks.host.elements import Family, FieldType, unpack
from networks.host.noting import ARP, KEPT, NOTES, Notes, packets

_KEY, _EXPIRATION, _EXPRESSION = 1, 5, 7
_VALUE, _EXPRESSION_DATA, _PACKETS = 1, 2, 2
_TRIES = 5
_IFNAMSIZ = 16
_BOTH_PORTS = {"tcp", "udp"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Packets that were refused for one reason. `interface` is a bridge, or a guest's port where
    it was refused in the bridge. `port` is 0 where there is none. `ago` is in seconds, since the
    last of them."""

    notes: Notes
    interface: str
    source: str
    destination: str
    protocol: str
    port: int
    packets: int
    ago: float


class _Raw(NamedTuple):
    notes: Notes
    name: str
    types: tuple[FieldType, ...]
    key: bytes
    found: dict[int, bytes]


def read(interfaces: Collection[str]) -> list[Refusal]:
    """All that is noted of these bridges and ports."""
    with closing(NftablesSocket()) as connection:
        found = _all(connection, interfaces)
    return [_refusal(each) for each in found]


def keys(
    connection: NftablesSocket, interfaces: Collection[str]
) -> list[tuple[Family, str, bytes]]:
    """Set and key of each of them, as the kernel has it."""
    return [(raw.notes.family, raw.name, raw.key) for raw in _all(connection, interfaces)]


def _all(connection: NftablesSocket, interfaces: Collection[str]) -> list[_Raw]:
    wanted = frozenset(name.encode().ljust(_IFNAMSIZ, b"\0") for name in interfaces)
    for _ in range(_TRIES):
        try:
            return list(_read(connection, wanted))
        except Interrupted:
            continue
    raise HostBusy("The firewall of the host keeps changing while it is read.")


def _read(connection: NftablesSocket, wanted: frozenset[bytes]) -> Iterator[_Raw]:
    """Decoding is what costs, so only what is wanted is decoded."""
    for notes in NOTES:
        for name, types in notes.sets:
            for listed in connection.counting(name, notes.family):
                for _, element in attributes(listed):
                    found = dict(attributes(element))
                    key = dict(attributes(found[_KEY]))[_VALUE]
                    if key[:_IFNAMSIZ] in wanted:
                        yield _Raw(notes, name, types, key, found)


def _refusal(raw: _Raw) -> Refusal:
    found = raw.found
    interface, source, destination, *rest = unpack(raw.types, raw.key)
    protocol, port = rest or (ARP, 0)
    left = struct.unpack(">Q", found[_EXPIRATION])[0] / 1000 if _EXPIRATION in found else KEPT
    expression = dict(attributes(found.get(_EXPRESSION, b"")))
    counter = dict(attributes(expression.get(_EXPRESSION_DATA, b"")))
    return Refusal(
        notes=raw.notes,
        interface=str(interface),
        source=str(source),
        destination=str(destination),
        protocol=str(protocol),
        port=int(port) if protocol in _BOTH_PORTS else 0,
        packets=packets(int.from_bytes(counter.get(_PACKETS, b""), "big")),
        ago=max(0.0, KEPT - left),
    )
