"""Reading the connection tracker: whose connections there are, and what of them is known.

Connections of a forward, or of a guest, are picked by the kernel (by mark; by address since 5.8),
those of a subnet by the bytes of their addresses; only what is asked for is decoded. Formats:
include/uapi/linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from networks.host.drivers.netlink import (
    ALREADY_GONE,
    NETLINK_NETFILTER,
    Interrupted,
    KernelRefused,
    NetlinkSocket,
    attribute,
    attributes,
    nested,
)

_GET, _DELETE = 1 << 8 | 1, 1 << 8 | 2
_ORIGINAL, _REPLY, _STATUS, _PROTOINFO, _TIMEOUT, _MARK = 1, 2, 3, 4, 7, 8
_COUNTERS_ORIGINAL, _COUNTERS_REPLY, _ID, _ZONE = 9, 10, 12, 18
_TIMESTAMP, _MARK_MASK, _FILTER = 20, 21, 25
_IP, _PROTOCOL = 1, 2
_SOURCE, _DESTINATION, _SOURCE6, _DESTINATION6 = 1, 2, 3, 4
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_FILTER_ORIGINAL, _FILTER_REPLY, _FILTER_SOURCE = 1, 2, 1 << 0
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_SEEN_REPLY, _ASSURED = 1 << 1, 1 << 2
_PACKETS, _BYTES = 1, 2
_TCP, _TCP_STATE = 1, 1
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp"}
_TCP_STATES = (
    "none",
    "syn sent",
    "syn received",
    "established",
    "fin wait",
    "close wait",
    "last ack",
    "time wait",
    "closed",
    "syn sent",
)
_TRIES = 3
# A message begins with struct nfgenmsg; then come, nested, the original tuple, its IP part and the
# source address, each with a header of four bytes, and after it the destination with another one.
_SOURCE_AT, _HEADER = 16, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One tracked connection as it was opened, and who answers it.

    `timeout` is in seconds; `age` (s) and `bytes` are None where the kernel does not count them.
    """

    id: str
    protocol: str
    source: str
    source_port: int
    destination: str
    destination_port: int
    answers: str
    answers_port: int
    seen_as: str
    seen_as_port: int
    state: str
    replied: bool
    timeout: int
    number: int
    age: float | None
    bytes_out: int | None
    bytes_in: int | None


def of_forward(number: int) -> list[bytes]:
    """The raw connections that carry a forward's number."""
    mark = attribute(_MARK, struct.pack(">I", number))
    return _dump(_general() + mark + attribute(_MARK_MASK, struct.pack(">I", 0xFFFFFFFF)))


def of_guest(address: str) -> list[bytes]:
    """The raw connections that a guest opened or answers by this address of either family."""
    general = _general(_FAMILIES[ip_address(address).version])
    found = _dump(general + _from(_ORIGINAL, _FILTER_ORIGINAL, address))
    known = {_identity(each) for each in found}
    answered = _dump(general + _from(_REPLY, _FILTER_REPLY, address))
    return found + [each for each in answered if _identity(each) not in known]


def of_guests(addresses: Iterable[str], but: Iterable[str] = ()) -> list[bytes]:
    """Those of several addresses, each once, without those that `but` are the other end of."""
    found = {_identity(each): each for address in addresses for each in of_guest(address)}
    for address in but:
        for each in of_guest(address):
            found.pop(_identity(each), None)
    return list(found.values())


def begun_by(found: Iterable[bytes], address: str) -> int:
    """How many of some raw connections an address has begun."""
    own = ip_address(address).packed
    return sum(each[_SOURCE_AT : _SOURCE_AT + len(own)] == own for each in found)


def of_subnets(subnets: Iterable[str], numbers: Iterable[int]) -> list[bytes]:
    """The raw connections that guests of subnets opened, or that forwards of these numbers made.

    A connection between guests of the same network does not pass the host's router.
    """
    wanted, networks = frozenset(numbers), [ip_network(subnet) for subnet in subnets]
    return [raw for network in networks for raw in _of_subnet(network, wanted)]


def _of_subnet(network: IPv4Network | IPv6Network, wanted: frozenset[int]) -> list[bytes]:
    first, last = network.network_address.packed, network.broadcast_address.packed
    length = len(first)
    source = slice(_SOURCE_AT, _SOURCE_AT + length)
    destination = slice(source.stop + _HEADER, source.stop + _HEADER + length)
    return [
        each
        for each in _dump(_general(_FAMILIES[network.version]))
        if first <= each[source] <= last
        or first <= each[destination] <= last
        or _mark(each) in wanted
    ]


def end(found: Iterable[bytes]) -> int:
    """End raw connections; returns how many were still there."""
    ended = 0
    with NetlinkSocket(NETLINK_NETFILTER) as connection:
        for payload in found:
            try:
                connection.request(_DELETE, _general(payload[0]) + _named(payload))
                ended += 1
            except KernelRefused as error:
                if error.errno != ALREADY_GONE:
                    raise
    return ended


def identity(payload: bytes) -> str:
    """What names a raw connection while it lasts (`Flow.id`)."""
    return _identity(payload).hex()


def decoded(payload: bytes, now: float | None = None) -> Flow | None:
    """A connection in words; None for what has no addresses."""
    found = dict(attributes(payload, 4))
    source, destination, number, ports = _tuple(found[_ORIGINAL])
    answers, seen_as, _, answer_ports = _tuple(found[_REPLY])
    if not source:
        return None
    status = _word(found.get(_STATUS, b""))
    started = dict(attributes(found.get(_TIMESTAMP, b""))).get(1)
    return Flow(
        id=found.get(_ID, b"").hex(),
        protocol=_PROTOCOLS.get(number, str(number)),
        source=str(ip_address(source)),
        source_port=ports[0],
        destination=str(ip_address(destination)),
        destination_port=ports[1],
        answers=str(ip_address(answers)),
        answers_port=answer_ports[0],
        seen_as=str(ip_address(seen_as)),
        seen_as_port=answer_ports[1],
        state=_state(found, status),
        replied=bool(status & _SEEN_REPLY),
        timeout=_word(found.get(_TIMEOUT, b"")),
        number=_word(found.get(_MARK, b"")),
        age=_age(started, now or time.time()),
        bytes_out=_counted(found.get(_COUNTERS_ORIGINAL)),
        bytes_in=_counted(found.get(_COUNTERS_REPLY)),
    )


def is_replied(payload: bytes) -> bool:
    """Whether anything ever came back on a raw connection."""
    return bool(_word(dict(attributes(payload, 4)).get(_STATUS, b"")) & _SEEN_REPLY)


def _dump(request: bytes) -> list[bytes]:
    """What was dumped while the table changed may lack a few; after some tries that is taken."""
    found: list[bytes] = []
    with NetlinkSocket(NETLINK_NETFILTER) as connection:
        for _ in range(_TRIES):
            found = []
            try:
                found.extend(connection.dump(_GET, request))
            except Interrupted:
                continue
            break
    return found


def _general(family: int = socket.AF_UNSPEC) -> bytes:
    """struct nfgenmsg; without a family both are meant."""
    return struct.pack(">BBH", family, 0, 0)


def _from(tuple_kind: int, side: int, address: str) -> bytes:
    """A filter by who sends in one direction (`CTA_FILTER`)."""
    wanted = ip_address(address)
    kind = _SOURCE if wanted.version == 4 else _SOURCE6
    ip = nested(_IP, attribute(kind, wanted.packed))
    flags = [0, 0]
    flags[side - 1] = _FILTER_SOURCE
    return nested(tuple_kind, ip) + nested(
        _FILTER,
        attribute(_FILTER_ORIGINAL, struct.pack("=I", flags[0])),
        attribute(_FILTER_REPLY, struct.pack("=I", flags[1])),
    )


def _named(payload: bytes) -> bytes:
    """The attributes that name a connection to the kernel."""
    found = dict(attributes(payload, 4))
    kept = [nested(_ORIGINAL, found[_ORIGINAL])]
    return b"".join(kept + [attribute(kind, found[kind]) for kind in (_ID, _ZONE) if kind in found])


def _identity(payload: bytes) -> bytes:
    return dict(attributes(payload, 4)).get(_ID, b"")


def _mark(payload: bytes) -> int:
    return _word(dict(attributes(payload, 4)).get(_MARK, b""))


def _tuple(data: bytes) -> tuple[bytes, bytes, int, tuple[int, int]]:
    parts = dict(attributes(data))
    addresses = dict(attributes(parts[_IP]))
    protocol = dict(attributes(parts[_PROTOCOL]))
    ports = tuple(_word(protocol.get(kind, b"")) for kind in (_SOURCE_PORT, _DESTINATION_PORT))
    number = protocol[_NUMBER][0]
    source = addresses.get(_SOURCE) or addresses.get(_SOURCE6, b"")
    destination = addresses.get(_DESTINATION) or addresses.get(_DESTINATION6, b"")
    return source, destination, number, ports  # type: ignore[return-value]


def _state(found: dict[int, bytes], status: int) -> str:
    tcp = dict(attributes(dict(attributes(found.get(_PROTOINFO, b""))).get(_TCP, b"")))
    if _TCP_STATE in tcp:
        number = tcp[_TCP_STATE][0]
        return _TCP_STATES[number] if number < len(_TCP_STATES) else str(number)
    if not status & _SEEN_REPLY:
        return "unanswered"
    return "assured" if status & _ASSURED else "answered"


def _age(started: bytes | None, now: float) -> float | None:
    if started is None:
        return None
    return max(0.0, round(now - int.from_bytes(started, "big") / 1e9, 1))


def _counted(data: bytes | None) -> int | None:
    counted = dict(attributes(data or b"")).get(_BYTES)
    return None if counted is None else int.from_bytes(counted, "big")


def _word(data: bytes) -> int:
    return int.from_bytes(data, "big")
