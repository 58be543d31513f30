"""Bridges, their addresses and ports, by rtnetlink(7)."""

from __future__ import annotations

import errno
import struct
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Interface, ip_interface
from socket import AF_INET, AF_INET6
from typing import NamedTuple, TypeAlias

from kvmweb.core.errors import HostError
from kvmweb.core.names import BRIDGE_PREFIX
from networks.host.attachable import Interface
from networks.host.drivers.netlink import (
    ALREADY_THERE,
    NETLINK_ROUTE,
    NLM_F_CREATE,
    NLM_F_EXCL,
    KernelRefused,
    NetlinkSocket,
    attribute,
    attributes,
    nested,
    text,
)

# STP would hold a port silent for 2 x forward_delay; snooping without a querier on the bridge
# loses multicast, so it is flooded. Filtering of bridged packets by iptables is not asked for here,
# though the host-wide net.bridge.bridge-nf-call-iptables overrules that (br_netfilter_hooks.c).
_STP_STATE = 5
_PLAIN = {_STP_STATE: 4, 1: 4, 23: 1, 36: 1}  # by if_link.h, with their sizes; all are zero
_IFF_UP, _IFF_LOOPBACK = 1, 8
_NEWLINK, _DELLINK, _GETLINK, _NEWADDR, _DELADDR = 16, 17, 18, 20, 21
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST = 1, 2, 4
_IFLA_EXT_MASK, _SKIP_STATISTICS = 29, 1 << 3
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO = 1, 3, 4, 10, 18
_INFO_KIND, _INFO_DATA = 1, 2
_GONE = {errno.ENODEV, errno.EADDRNOTAVAIL}


@dataclass(frozen=True, slots=True)
class Link:
    """A bridge as the kernel has it."""

    index: int
    mac: str
    mtu: int
    up: bool
    plain: bool
    master: int = 0


class NamedLink(NamedTuple):
    """Any interface."""

    name: str
    mac: str
    mtu: int
    up: bool


@dataclass(frozen=True, slots=True)
class _Seen:
    """Any interface as the kernel has it; `settings` are those of a bridge."""

    index: int
    name: str
    kind: str
    flags: int
    mac: str
    mtu: int
    master: int
    settings: dict[int, bytes]


Ports: TypeAlias = dict[str, _Seen]


class Links:
    """One connection, for the namespace and the thread that made it.

    A message costs tens of microseconds, by pyroute2 it is a millisecond.
    """

    def __init__(self) -> None:
        self._socket = NetlinkSocket(NETLINK_ROUTE)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def observe(self, bridge: str) -> Link | None:
        """The bridge, None when there is none of this name."""
        link = self._get(bridge)
        if link is None:
            return None
        if link.kind != "bridge":
            raise HostError(
                f"The host has an interface {bridge} that is not a bridge.",
                code="name_taken",
                remedy=f"Rename or remove the interface {bridge} on the host.",
            )
        return _plain(link)

    def cable(self, name: str) -> Link | None:
        """One end of a pair of interfaces, None when there is none of this name."""
        link = self._get(name)
        if link is None or link.kind != "veth":
            return None
        return _plain(link)

    def all(self) -> list[NamedLink]:
        """Every interface of the namespace."""
        found = [_seen(payload) for payload in self._socket.dump(_GETLINK, bytes(16))]
        return [
            NamedLink(each.name, each.mac, each.mtu, bool(each.flags & _IFF_UP)) for each in found
        ]

    def set_up(self, name: str, mtu: int, mac: str = "") -> None:
        """Switch an interface on, with this MTU and, if one is given, this MAC."""
        changes = [_number(_IFLA_MTU, mtu), *([_hardware(mac)] if mac else [])]
        try:
            self._set(name, *changes, up=True)
        except KernelRefused as error:
            raise _refused(f"{name} cannot be set up", error) from error

    def kind(self, name: str) -> str | None:
        """What sort of interface it is, as `ip -d link` says; empty of a network card's, None when
        there is none of this name."""
        link = self._get(name)
        return None if link is None else link.kind

    def ports(self, names: Iterable[str]) -> Ports:
        """Those of these interfaces that are up."""
        asked = [_asked(name) for name in names]
        found = (_seen(payload) for _, payload in self._socket.request_each(_GETLINK, asked))
        return {link.name: link for link in found if link.flags & _IFF_UP}

    def loose(self, ports: Ports, bridge: Link | None) -> frozenset[str]:
        """Those of `ports` that are not enslaved to the bridge.

        libvirt makes a tap, enslaves it, then sets it up (virnetdevtap.c); one that is still down
        is left to it, for it fails on a tap that has a master already.
        """
        master = bridge.index if bridge else None
        return frozenset(
            port for port, link in ports.items() if master is None or link.master != master
        )

    def narrow(self, ports: Ports, mtu: int) -> frozenset[str]:
        """Those of `ports` that pass less than `mtu`. One that passes more is as it should be: its
        guest may not have learned yet that its network passes less now."""
        return frozenset(port for port, link in ports.items() if link.mtu < mtu)

    def widen(self, port: str, mtu: int) -> None:
        """Let a port pass `mtu` bytes; one that vanished needs nothing."""
        try:
            self._set(port, _number(_IFLA_MTU, mtu))
        except KernelRefused as error:
            if error.errno not in _GONE:
                raise _refused(f"{port} cannot pass packets of {mtu} bytes", error) from error

    def interfaces(self) -> list[Interface]:
        """All that there are."""
        links = (_seen(payload) for payload in self._socket.dump(_GETLINK, bytes(16)))
        return [
            Interface(
                name=link.name,
                kind=link.kind,
                enslaved=link.master != 0,
                loopback=bool(link.flags & _IFF_LOOPBACK),
            )
            for link in links
        ]

    def bridges(self, prefix: str = BRIDGE_PREFIX) -> list[str]:
        """The bridges whose name begins with `prefix`, which is ours by default."""
        links = (_seen(payload) for payload in self._socket.dump(_GETLINK, bytes(16)))
        return [
            link.name for link in links if link.kind == "bridge" and link.name.startswith(prefix)
        ]

    def create_bridge(self, bridge: str, mac: str, mtu: int) -> None:
        """Make a bridge, down. One that is there already is put right."""
        made = _link(_named(bridge), _hardware(mac), _bridge(_PLAIN))
        try:
            self._socket.request(_NEWLINK, made, NLM_F_CREATE | NLM_F_EXCL)
        except KernelRefused as error:
            if error.errno != ALREADY_THERE:
                raise _refused(f"Bridge {bridge} cannot be made", error) from error
            self.set_bridge(bridge, mac, mtu)
            return
        # An MTU that a bridge is made with follows its ports'; one set later stays (br_device.c).
        self._set(bridge, _number(_IFLA_MTU, mtu))

    def set_bridge(self, bridge: str, mac: str, mtu: int) -> None:
        """Give an existing bridge its fixed properties."""
        try:
            # A delay of 0 is out of range while STP is on, so STP goes first (br_stp.c).
            self._set(bridge, _bridge([_STP_STATE]))
            self._set(bridge, _bridge(_PLAIN))
            self._set(bridge, _hardware(mac), _number(_IFLA_MTU, mtu))
        except KernelRefused as error:
            raise _refused(f"Bridge {bridge} cannot be set", error) from error

    def bring_up(self, bridge: str) -> None:
        """Set the bridge up."""
        self._set(bridge, up=True)

    def add_address(self, bridge: str, address: str) -> None:
        """Add an address in CIDR notation; having it already is success."""
        interface = ip_interface(address)
        payload = _address(self._index(bridge), address)
        if isinstance(interface, IPv4Interface):
            payload += attribute(_IFA_BROADCAST, interface.network.broadcast_address.packed)
        try:
            self._socket.request(_NEWADDR, payload, NLM_F_CREATE | NLM_F_EXCL)
        except KernelRefused as error:
            if error.errno != ALREADY_THERE:
                raise _refused(f"{bridge} cannot have the address {address}", error) from error

    def remove_address(self, bridge: str, address: str) -> None:
        """Remove an address; not having it is success."""
        try:
            self._socket.request(_DELADDR, _address(self._index(bridge), address))
        except KernelRefused as error:
            if error.errno not in _GONE:
                raise _refused(f"{address} cannot be taken from {bridge}", error) from error

    def attach(self, port: str, bridge: str) -> None:
        """Enslave a port and set it up; a port that vanished needs none."""
        try:
            self._set(port, _number(_IFLA_MASTER, self._index(bridge)), up=True)
        except KernelRefused as error:
            if error.errno not in _GONE:
                raise _refused(f"{port} cannot be attached to {bridge}", error) from error

    def delete(self, bridge: str) -> None:
        """Delete a bridge; none being there is success."""
        try:
            self._socket.request(_DELLINK, _link(_named(bridge)))
        except KernelRefused as error:
            if error.errno not in _GONE:
                raise _refused(f"Bridge {bridge} cannot be deleted", error) from error

    def _set(self, name: str, *changes: bytes, up: bool = False) -> None:
        flags = _IFF_UP if up else 0
        self._socket.request(_NEWLINK, _link(_named(name), *changes, flags=flags))

    def _get(self, name: str) -> _Seen | None:
        try:
            answers = self._socket.request(_GETLINK, _asked(name))
        except KernelRefused as error:
            if error.errno in _GONE:
                return None
            raise
        return _seen(answers[0])

    def _index(self, name: str) -> int:
        link = self._get(name)
        if link is None:
            raise HostError(
                f"Interface {name} vanished while it was worked on.", code="link_vanished"
            )
        return link.index


def _link(*parts: bytes, flags: int = 0) -> bytes:
    """The payload of a message about a link that is named by one of `parts`; only the flags given
    are changed."""
    return struct.pack("=BBHiII", 0, 0, 0, 0, flags, flags) + b"".join(parts)


def _named(name: str) -> bytes:
    return text(_IFLA_IFNAME, name)


def _asked(name: str) -> bytes:
    """A question for a link; what it has carried would be half of the answer."""
    return _link(_named(name), _number(_IFLA_EXT_MASK, _SKIP_STATISTICS))


def _hardware(mac: str) -> bytes:
    return attribute(_IFLA_ADDRESS, bytes.fromhex(mac.replace(":", "")))


def _bridge(zeros: Iterable[int]) -> bytes:
    """A link being a bridge with these of its settings at zero."""
    settings = [attribute(kind, bytes(_PLAIN[kind])) for kind in zeros]
    return nested(_IFLA_LINKINFO, text(_INFO_KIND, "bridge"), nested(_INFO_DATA, *settings))


def _address(index: int, address: str) -> bytes:
    """The payload of a message about an address, which is in CIDR notation."""
    interface = ip_interface(address)
    family = AF_INET if isinstance(interface, IPv4Interface) else AF_INET6
    packed = interface.ip.packed
    head = struct.pack("=BBBBI", family, interface.network.prefixlen, 0, 0, index)
    return head + attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def _seen(payload: bytes) -> _Seen:
    """From a message RTM_NEWLINK (rtnetlink(7))."""
    _, _, _, index, flags, _ = struct.unpack_from("=BBHiII", payload)
    found = dict(attributes(payload, 16))
    info = dict(attributes(found.get(_IFLA_LINKINFO, b"")))
    return _Seen(
        index=index,
        name=_string(found.get(_IFLA_IFNAME, b"")),
        kind=_string(info.get(_INFO_KIND, b"")),
        flags=flags,
        mac=found.get(_IFLA_ADDRESS, b"").hex(":"),
        mtu=_word(found.get(_IFLA_MTU, b"")),
        master=_word(found.get(_IFLA_MASTER, b"")),
        settings=dict(attributes(info.get(_INFO_DATA, b""))),
    )


def _plain(link: _Seen) -> Link:
    return Link(
        index=link.index,
        mac=link.mac,
        mtu=link.mtu,
        up=bool(link.flags & _IFF_UP),
        plain=not any(any(link.settings.get(kind, b"")) for kind in _PLAIN),
        master=link.master,
    )


def _word(data: bytes) -> int:
    return int.from_bytes(data, sys.byteorder)


def _string(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")


def _refused(what: str, error: KernelRefused) -> HostError:
    return HostError(f"{what}: {error.message}.", code="link_refused")
