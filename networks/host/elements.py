"""The elements of our nftables maps and sets: typed values, and their bytes in the kernel.

The rules never change; elements are the data. Every element carries its owner, the bridge of its
network, as the element's comment, so that the kernel itself says whose it is: what a crash left
behind is found without knowing what was there before, and no element is ever taken for another
network's. Elements of the host as a whole (uplinks) carry no comment, and so does anything put
into our tables by hand.

In an interval set a field is a range, written "low-high"; names of interfaces stay exact there.

`nd_target` is an IPv6 address too, but at a place of a packet that nft 1.0.6 has no name for.

Keys of several fields are padded to four bytes each; numbers of ports are big-endian, marks are in
the order of the machine (nft(8), "SETS"; include/uapi/linux/netfilter/nf_tables.h).
"""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias, assert_never

Family = Literal["inet", "bridge"]
FieldType = Literal[
    "ipv4_addr",
    "ipv6_addr",
    "nd_target",
    "nf_proto",
    "inet_proto",
    "inet_service",
    "mark",
    "ifname",
    "ether_addr",
]
Limit = Literal["connections", "rate", "bytes"]
Field: TypeAlias = str | int

TABLE = "kvmweb"
LARGEST_PACKET = 65536
"""Bytes that a byte limit admits at once beside its rate: the most that offloading makes."""

PROTOCOLS = {"tcp": 6, "udp": 17}
_PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}
_FAMILIES = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
_FAMILY_NAMES: dict[int, str] = {number: name for name, number in _FAMILIES.items()}
_IFNAMSIZ = 16
_SIZES: dict[FieldType, int] = {
    "ipv4_addr": 4,
    "ipv6_addr": 16,
    "nd_target": 16,
    "nf_proto": 1,
    "inet_proto": 1,
    "inet_service": 2,
    "mark": 4,
    "ifname": _IFNAMSIZ,
    "ether_addr": 6,
}


@dataclass(frozen=True, slots=True)
class SetType:
    """The type of a set, or of a map when it has a value.

    `counter` counts what is looked up; `interval` means that keys are ranges. An element of a set
    with a `limit` matches only what exceeds the limit it carries: its value is the number of
    connections, or new ones per second and the burst, or bytes per second.
    """

    key: tuple[FieldType, ...]
    value: tuple[FieldType, ...] = ()
    counter: bool = False
    limit: Limit | None = None
    interval: bool = False

    @property
    def keyword(self) -> str:
        return "map" if self.value else "set"


class Element(NamedTuple):
    """One element; `value` is empty in a plain set. `owner` is the bridge of its network.

    A named tuple, because a host has tens of thousands that are compared with every change.
    """

    family: Family
    name: str
    key: tuple[Field, ...]
    value: tuple[Field, ...] = ()
    owner: str = ""

    @property
    def place(self) -> tuple[Family, str, tuple[Field, ...]]:
        """Where it lies: there is at most one element in a place."""
        return self.family, self.name, self.key


# Where a packet from outside is led, each with a map of the same keys to the forward's number:
# single ports, ranges that keep the port, whole addresses. The port is the first field of a range,
# because a set of intervals is only as quick as its first field is selective.
DOORS: dict[str, str] = {
    "fwd4": "fwd4id",
    "rng4": "rng4id",
    "whole4": "whole4id",
    "fwd6": "fwd6id",
}

# Allowed sources lie in hash sets, one per length of prefix that is a multiple of four: any prefix
# is at most eight of these, and no set of intervals has to be searched or rebuilt for a change.
SOURCE_SETS: dict[int, str] = {length: f"src{length}" for length in range(32, 0, -4)}

SETS: dict[tuple[Family, str], SetType] = {
    ("inet", "fwd4"): SetType(
        ("ipv4_addr", "inet_proto", "inet_service"), ("ipv4_addr", "inet_service")
    ),
    ("inet", "fwd4id"): SetType(("ipv4_addr", "inet_proto", "inet_service"), ("mark",)),
    ("inet", "rng4"): SetType(
        ("inet_service", "ipv4_addr", "inet_proto"), ("ipv4_addr",), interval=True
    ),
    ("inet", "rng4id"): SetType(
        ("inet_service", "ipv4_addr", "inet_proto"), ("mark",), interval=True
    ),
    ("inet", "whole4"): SetType(("ipv4_addr",), ("ipv4_addr",)),
    ("inet", "whole4id"): SetType(("ipv4_addr",), ("mark",)),
    ("inet", "fwd6"): SetType(
        ("ipv6_addr", "inet_proto", "inet_service"), ("ipv6_addr", "inet_service")
    ),
    ("inet", "fwd6id"): SetType(("ipv6_addr", "inet_proto", "inet_service"), ("mark",)),
    ("inet", "acct_in"): SetType(("mark",), counter=True),
    ("inet", "acct_out"): SetType(("mark",), counter=True),
    ("inet", "max_conn"): SetType(("mark",), limit="connections"),
    ("inet", "max_rate"): SetType(("mark",), limit="rate"),
    ("inet", "restricted"): SetType(("mark",)),
    ("inet", "sifted"): SetType(("mark",)),
    **{("inet", name): SetType(("mark", "ipv4_addr")) for name in SOURCE_SETS.values()},
    ("inet", "src6"): SetType(("mark", "ipv6_addr"), interval=True),
    ("inet", "acct_new"): SetType(("mark",), counter=True),
    ("inet", "snat4"): SetType(("ifname",), ("ipv4_addr",)),
    ("inet", "masq"): SetType(("ifname",)),
    ("inet", "snat6"): SetType(("ifname",), ("ipv6_addr",)),
    ("inet", "masq6"): SetType(("ifname",)),
    ("inet", "egress"): SetType(("ifname",)),
    ("inet", "snat_pool"): SetType(("ifname", "ipv4_addr"), ("ipv4_addr",)),
    ("inet", "egress_all"): SetType(("ifname", "inet_proto", "ipv4_addr"), interval=True),
    ("inet", "egress_ports"): SetType(
        ("ifname", "inet_proto", "inet_service", "ipv4_addr"), interval=True
    ),
    ("inet", "whole"): SetType(("mark",)),
    ("inet", "open_all"): SetType(("ipv4_addr", "inet_proto", "ipv4_addr"), interval=True),
    ("inet", "open_ports"): SetType(
        ("ipv4_addr", "inet_proto", "inet_service", "ipv4_addr"), interval=True
    ),
    ("inet", "egress_all6"): SetType(("ifname", "inet_proto", "ipv6_addr"), interval=True),
    ("inet", "egress_ports6"): SetType(
        ("ifname", "inet_proto", "inet_service", "ipv6_addr"), interval=True
    ),
    ("inet", "open_all6"): SetType(("ipv6_addr", "inet_proto", "ipv6_addr"), interval=True),
    ("inet", "open_ports6"): SetType(
        ("ipv6_addr", "inet_proto", "inet_service", "ipv6_addr"), interval=True
    ),
    ("inet", "routed"): SetType(("ifname",)),
    ("inet", "routed6"): SetType(("ifname",)),
    ("inet", "inside"): SetType(("ifname", "ipv4_addr"), interval=True),
    ("inet", "hairpin"): SetType(("ifname", "ifname")),
    ("inet", "pairs"): SetType(("ifname", "ifname")),
    ("inet", "settled"): SetType(("ifname",)),
    ("inet", "logged"): SetType(("ifname",)),
    ("inet", "dns"): SetType(("ifname",)),
    ("inet", "uplinks"): SetType(("ifname",)),
    ("inet", "proxied"): SetType(("ipv4_addr", "inet_service")),
    ("inet", "proxied6"): SetType(("ipv6_addr", "inet_service")),
    ("inet", "closed"): SetType(("ifname",)),
    ("inet", "through"): SetType(("ifname", "ifname")),
    ("inet", "shut"): SetType(("nf_proto",)),
    ("bridge", "own4"): SetType(("ifname", "ether_addr", "ipv4_addr")),
    ("bridge", "own6"): SetType(("ifname", "ether_addr", "ipv6_addr")),
    ("bridge", "own_nd"): SetType(("ifname", "ether_addr", "nd_target")),
    ("bridge", "own_mac"): SetType(("ifname", "ether_addr")),
    ("bridge", "apart"): SetType(("ifname",)),
    ("bridge", "bridged"): SetType(("ifname",)),
    ("bridge", "guarded"): SetType(("ifname",)),
    ("bridge", "logged"): SetType(("ifname",)),
    ("bridge", "let_all"): SetType(("ifname", "inet_proto", "ipv4_addr"), interval=True),
    ("bridge", "let_ports"): SetType(
        ("ifname", "inet_proto", "inet_service", "ipv4_addr"), interval=True
    ),
    ("bridge", "let_all6"): SetType(("ifname", "inet_proto", "ipv6_addr"), interval=True),
    ("bridge", "let_ports6"): SetType(
        ("ifname", "inet_proto", "inet_service", "ipv6_addr"), interval=True
    ),
    ("bridge", "guest_up"): SetType(("ifname",), limit="bytes"),
    ("bridge", "guest_down"): SetType(("ifname",), limit="bytes"),
    ("inet", "network_up"): SetType(("ifname",), limit="bytes"),
    ("inet", "network_down"): SetType(("ifname",), limit="bytes"),
}


@lru_cache(maxsize=8192)
def pack(types: tuple[FieldType, ...], fields: tuple[Field, ...]) -> bytes:
    """The bytes of a key or value; a single field is not padded. What a forward has several of,
    its place and its number, is packed once."""
    packed = [_pack_field(kind, field) for kind, field in zip(types, fields, strict=True)]
    if len(packed) == 1:
        return packed[0]
    return b"".join(part.ljust(_padded(len(part)), b"\0") for part in packed)


def size(types: tuple[FieldType, ...]) -> int:
    """How many bytes `pack` makes of fields of these types."""
    if len(types) == 1:
        return _SIZES[types[0]]
    return sum(_padded(_SIZES[kind]) for kind in types)


def unpack(types: tuple[FieldType, ...], data: bytes) -> tuple[Field, ...]:
    """The fields in the bytes of a key or value."""
    fields: list[Field] = []
    offset = 0
    for kind in types:
        size = _SIZES[kind]
        fields.append(_unpack_field(kind, data[offset : offset + size]))
        offset += _padded(size)
    return tuple(fields)


def pack_range(types: tuple[FieldType, ...], fields: tuple[Field, ...]) -> tuple[bytes, bytes]:
    """The bytes of the first and of the last key of a range."""
    ends = [ends_of(kind, field) for kind, field in zip(types, fields, strict=True)]
    low, high = zip(*ends, strict=True)
    return _pack_end(types, low), _pack_end(types, high)


def _pack_end(types: tuple[FieldType, ...], fields: tuple[Field, ...]) -> bytes:
    ordered = [_in_order(kind, field) for kind, field in zip(types, fields, strict=True)]
    return pack(types, tuple(ordered))


def unpack_range(types: tuple[FieldType, ...], low: bytes, high: bytes) -> tuple[Field, ...]:
    """The fields of a range, from its first and last key."""
    fields: list[Field] = []
    for kind, first, last in zip(types, unpack(types, low), unpack(types, high), strict=True):
        if kind == "ifname":
            fields.append(first)
        elif kind == "mark":
            fields.append(f"{_in_order(kind, first)}-{_in_order(kind, last)}")
        else:
            fields.append(f"{PROTOCOLS.get(str(first), first)}-{PROTOCOLS.get(str(last), last)}")
    return tuple(fields)


def ends_of(kind: FieldType, field: Field) -> tuple[Field, Field]:
    """The first and the last value of a field of a range."""
    if kind == "ifname":
        return field, field
    first, _, last = str(field).partition("-")
    return first, last


def _in_order(kind: FieldType, value: Field) -> Field:
    """Ranges are compared byte by byte, so there a mark has the order of the network."""
    if kind != "mark":
        return value
    return int.from_bytes(int(value).to_bytes(4, "big"), sys.byteorder)


def _padded(size: int) -> int:
    return (size + 3) & ~3


@lru_cache(maxsize=8192)
def _pack_field(kind: FieldType, field: Field) -> bytes:
    match kind:
        case "ipv4_addr":
            return socket.inet_pton(socket.AF_INET, str(field))
        case "ipv6_addr" | "nd_target":
            return socket.inet_pton(socket.AF_INET6, str(field))
        case "nf_proto":
            return bytes([_FAMILIES[str(field)]])
        case "inet_proto":
            return bytes([PROTOCOLS[str(field)] if str(field) in PROTOCOLS else int(field)])
        case "inet_service":
            return int(field).to_bytes(2, "big")
        case "mark":
            return int(field).to_bytes(4, sys.byteorder)
        case "ifname":
            return str(field).encode().ljust(_IFNAMSIZ, b"\0")
        case "ether_addr":
            return bytes.fromhex(str(field).replace(":", ""))
        case _:
            assert_never(kind)


def _unpack_field(kind: FieldType, data: bytes) -> Field:
    match kind:
        case "ipv4_addr":
            return socket.inet_ntop(socket.AF_INET, data)
        case "ipv6_addr" | "nd_target":
            return socket.inet_ntop(socket.AF_INET6, data)
        case "nf_proto":
            return _FAMILY_NAMES.get(data[0], data[0])
        case "inet_proto":
            return _PROTOCOL_NAMES.get(data[0], data[0])
        case "inet_service":
            return int.from_bytes(data, "big")
        case "mark":
            return int.from_bytes(data, sys.byteorder)
        case "ifname":
            return data.rstrip(b"\0").decode(errors="replace")
        case "ether_addr":
            return data.hex(":")
        case _:
            assert_never(kind)
