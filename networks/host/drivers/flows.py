"""Ending connections: removing entries of the connection tracker by netlink.

A removed rule stops no connection that is already tracked. Formats: include/uapi/linux/netfilter/
nfnetlink_conntrack.h. Kernels before 6.9 delete by mark but not by destination, and none deletes
by subnet, so those are dumped (by destination filtered in the kernel, since 5.8) and deleted one
by one.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from networks.host.allowed import Address, Connection
from networks.host.drivers import hostfacts
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
from networks.host.ops import Allowed, Destination, EndFlows

_SUBSYSTEM = 1 << 8
_GET, _DELETE = _SUBSYSTEM | 1, _SUBSYSTEM | 2
_ORIGINAL, _REPLY, _MARK, _ID, _ZONE, _MARK_MASK, _FILTER = 1, 2, 8, 12, 18, 21, 25
_IP, _PROTOCOL = 1, 2
_SOURCE, _DESTINATION, _SOURCE6, _DESTINATION6 = 1, 2, 3, 4
_NUMBER, _PORT = 1, 3
_FILTER_IP_DESTINATION, _FILTER_PROTOCOL, _FILTER_PORT = 1 << 1, 1 << 3, 1 << 5
_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_FEW = 8


@dataclass(frozen=True, slots=True)
class Flow:
    """One tracked connection. `guest` is who answers and `seen` whom it sees, after any
    translation."""

    mark: int
    protocol: int
    source: bytes
    destination: bytes
    port: int
    guest: bytes
    seen: bytes
    identity: bytes

    @property
    def family(self) -> int:
        """AF_INET or AF_INET6."""
        return _family(self.source)

    def as_connection(self) -> Connection:
        """As it is judged."""
        ends = (self.source, self.destination, self.guest, self.seen)
        source, destination, answers, seen = map(ip_address, ends)
        return Connection(
            number=self.mark,
            protocol=self.protocol,
            source=source,
            destination=destination,
            port=self.port,
            answers=answers,
            seen=seen,
        )


class Flows:
    """One netlink socket, for one thread."""

    def __init__(self) -> None:
        self._socket = NetlinkSocket(NETLINK_NETFILTER)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def end(self, what: EndFlows) -> None:
        """End every connection that `what` names. None being there is success."""
        few = len(what.numbers) + len(what.narrowed) + len(what.destinations) <= _FEW
        if what.subnets or what.judge or not few:
            self._end_matching(_general(), _matcher(what))
            return
        for number in what.numbers:
            self._end_mark(number)
        for allowed in what.narrowed:
            only = EndFlows(narrowed=frozenset([allowed]))
            self._end_matching(_general() + _mark(allowed.number), _matcher(only))
        for destination in what.destinations:
            only = EndFlows(destinations=frozenset([destination]))
            family = _family(ip_address(destination.address).packed)
            self._end_matching(_general(family) + _filter(destination), _matcher(only))

    def _end_mark(self, number: int) -> None:
        self._delete(_general() + _mark(number))

    def _end_matching(self, request: bytes, matches: Callable[[Flow], bool]) -> None:
        """A dump that was interrupted may have missed old entries; it is read again."""
        complete = False
        while not complete:
            found: list[Flow] = []
            complete = self._collect(request, matches, found)
            for flow in found:
                self._delete(_general(flow.family) + flow.identity)

    def _collect(self, request: bytes, matches: Callable[[Flow], bool], found: list[Flow]) -> bool:
        try:
            for payload in self._socket.dump(_GET, request):
                flow = _flow(payload)
                if flow is not None and matches(flow):
                    found.append(flow)
        except Interrupted:
            return False
        return True

    def _delete(self, payload: bytes) -> None:
        try:
            self._socket.request(_DELETE, payload)
        except KernelRefused as error:
            if error.errno != ALREADY_GONE:
                raise


def _matcher(what: EndFlows) -> Callable[[Flow], bool]:
    subnets = [ip_network(subnet) for subnet in what.subnets]
    destinations: dict[tuple[int, bytes], list[Destination]] = {}
    for each in what.destinations:
        place = _PROTOCOLS[each.protocol], ip_address(each.address).packed
        destinations.setdefault(place, []).append(each)
    narrowed = _narrowed(what.narrowed)

    def matches(flow: Flow) -> bool:
        if flow.mark in what.numbers:
            return True
        if flow.mark in narrowed and not narrowed[flow.mark](ip_address(flow.source)):
            return True
        there = destinations.get((flow.protocol, flow.destination), ())
        if any(each.port <= flow.port <= each.last for each in there):
            return True
        if what.judge is not None and not what.judge.allows(flow.as_connection()):
            return True
        ends = (ip_address(flow.source), ip_address(flow.guest))
        return any(end in subnet for subnet in subnets for end in ends)

    return matches


def _narrowed(every: frozenset[Allowed]) -> dict[int, Callable[[Address], bool]]:
    """For each of these forwards, who may use it. No list keeps the host itself out."""
    found = [*hostfacts.addresses(), *hostfacts.addresses6()] if every else []
    own = {ip_address(address.address) for address in found}

    def may(allowed: Allowed) -> Callable[[Address], bool]:
        networks = [ip_network(source) for source in allowed.sources]
        return lambda source: source in own or any(source in network for network in networks)

    return {allowed.number: may(allowed) for allowed in every}


def _flow(payload: bytes) -> Flow | None:
    found = dict(attributes(payload, 4))
    source, destination, protocol, port = _tuple(found[_ORIGINAL])
    guest, seen, _, _ = _tuple(found[_REPLY])
    if not source:
        return None
    kept = [nested(_ORIGINAL, found[_ORIGINAL])]
    kept += [attribute(kind, found[kind]) for kind in (_ID, _ZONE) if kind in found]
    (mark,) = struct.unpack(">I", found.get(_MARK, b"\0\0\0\0"))
    return Flow(mark, protocol, source, destination, port, guest, seen, b"".join(kept))


def _tuple(data: bytes) -> tuple[bytes, bytes, int, int]:
    parts = dict(attributes(data))
    addresses = dict(attributes(parts[_IP]))
    protocol = dict(attributes(parts[_PROTOCOL]))
    port = int.from_bytes(protocol.get(_PORT, b""), "big")
    source = addresses.get(_SOURCE) or addresses.get(_SOURCE6, b"")
    destination = addresses.get(_DESTINATION) or addresses.get(_DESTINATION6, b"")
    return source, destination, protocol[_NUMBER][0], port


def _mark(number: int) -> bytes:
    mark = attribute(_MARK, struct.pack(">I", number))
    return mark + attribute(_MARK_MASK, struct.pack(">I", 0xFFFFFFFF))


def _filter(destination: Destination) -> bytes:
    packed = ip_address(destination.address).packed
    kind = _DESTINATION if len(packed) == 4 else _DESTINATION6
    address = nested(_IP, attribute(kind, packed))
    protocol = nested(
        _PROTOCOL,
        attribute(_NUMBER, bytes([_PROTOCOLS[destination.protocol]])),
        attribute(_PORT, struct.pack(">H", destination.port)),
    )
    parts = _FILTER_IP_DESTINATION | _FILTER_PROTOCOL
    if destination.port == destination.last:
        parts |= _FILTER_PORT
    flags = struct.pack("=I", parts)
    none = struct.pack("=I", 0)
    return nested(_ORIGINAL, address, protocol) + nested(
        _FILTER, attribute(1, flags), attribute(2, none)
    )


def _general(family: int = socket.AF_UNSPEC) -> bytes:
    return struct.pack(">BBH", family, 0, 0)


def _family(address: bytes) -> int:
    return socket.AF_INET if len(address) == 4 else socket.AF_INET6


def listed() -> Iterator[Flow]:
    """Every tracked connection of this namespace."""
    with NetlinkSocket(NETLINK_NETFILTER) as connection:
        for payload in connection.dump(_GET, _general()):
            flow = _flow(payload)
            if flow is not None:
                yield flow
