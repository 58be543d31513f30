"""Bridges, their addresses and ports, by pyroute2."""

from __future__ import annotations

import errno
import struct
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Interface, ip_interface
from typing import TypeAlias

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from kvmweb.core.errors import HostError
from kvmweb.core.names import BRIDGE_PREFIX
from networks.host.drivers.netlink import (
    NETLINK_ROUTE,
    KernelRefused,
    NetlinkSocket,
    attributes,
    text,
)

# STP would hold a port silent for 2 x forward_delay; snooping without a querier on the bridge
# loses multicast, so it is flooded. Filtering of bridged packets by iptables is not asked for here,
# though the host-wide net.bridge.bridge-nf-call-iptables overrules that (br_netfilter_hooks.c).
_PLAIN = {
    "br_stp_state": 0,
    "br_forward_delay": 0,
    "br_mcast_snooping": 0,
    "br_nf_call_iptables": 0,
}
_PLAIN_ATTRIBUTES = (1, 5, 23, 36)  # the same in if_link.h
_IFF_UP = 1
_GETLINK = 18
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
    """One connection to read by and one to write by, for the thread that made them.

    Reading goes by messages of our own: it is done several times per change, and pyroute2 decodes
    a hundred attributes each time.
    """

    def __init__(self) -> None:
        self._socket = NetlinkSocket(NETLINK_ROUTE)
        self._route = IPRoute()

    def close(self) -> None:
        """Close both connections."""
        self._socket.close()
        self._route.close()

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
        return Link(
            index=link.index,
            mac=link.mac,
            mtu=link.mtu,
            up=bool(link.flags & _IFF_UP),
            plain=not any(any(link.settings.get(kind, b"")) for kind in _PLAIN_ATTRIBUTES),
        )

    def ports(self, names: Iterable[str]) -> Ports:
        """Those of these interfaces that are up."""
        found = {name: self._get(name) for name in names}
        return {name: link for name, link in found.items() if link and link.flags & _IFF_UP}

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
        link = self._get(port)
        if link is None:
            return
        try:
            self._route.link("set", index=link.index, mtu=mtu)
        except NetlinkError as error:
            if error.code not in _GONE:
                raise _refused(f"{port} cannot pass packets of {mtu} bytes", error) from error

    def bridges(self, prefix: str = BRIDGE_PREFIX) -> list[str]:
        """The bridges whose name begins with `prefix`, which is ours by default."""
        links = (_seen(payload) for payload in self._socket.dump(_GETLINK, bytes(16)))
        return [
            link.name for link in links if link.kind == "bridge" and link.name.startswith(prefix)
        ]

    def create_bridge(self, bridge: str, mac: str, mtu: int) -> None:
        """Make a bridge, down. One that is there already is put right."""
        try:
            self._route.link("add", ifname=bridge, kind="bridge", address=mac, **_PLAIN)
        except NetlinkError as error:
            if error.code != errno.EEXIST:
                raise _refused(f"Bridge {bridge} cannot be made", error) from error
            self.set_bridge(bridge, mac, mtu)
            return
        # An MTU that a bridge is made with follows its ports'; one set later stays (br_device.c).
        self._route.link("set", index=self._index(bridge), mtu=mtu)

    def set_bridge(self, bridge: str, mac: str, mtu: int) -> None:
        """Give an existing bridge its fixed properties."""
        index = self._index(bridge)
        try:
            # A delay of 0 is out of range while STP is on, so STP goes first (br_stp.c).
            self._route.link("set", index=index, kind="bridge", br_stp_state=0)
            self._route.link("set", index=index, kind="bridge", **_PLAIN)
            self._route.link("set", index=index, address=mac, mtu=mtu)
        except NetlinkError as error:
            raise _refused(f"Bridge {bridge} cannot be set", error) from error

    def bring_up(self, bridge: str) -> None:
        """Set the bridge up."""
        self._route.link("set", index=self._index(bridge), state="up")

    def add_address(self, bridge: str, address: str) -> None:
        """Add an address in CIDR notation; having it already is success."""
        interface = ip_interface(address)
        more = {}
        if isinstance(interface, IPv4Interface):
            more["broadcast"] = str(interface.network.broadcast_address)
        try:
            self._route.addr(
                "add",
                index=self._index(bridge),
                address=str(interface.ip),
                prefixlen=interface.network.prefixlen,
                **more,
            )
        except NetlinkError as error:
            if error.code != errno.EEXIST:
                raise _refused(f"{bridge} cannot have the address {address}", error) from error

    def remove_address(self, bridge: str, address: str) -> None:
        """Remove an address; not having it is success."""
        host, _, prefix = address.partition("/")
        try:
            self._route.addr("del", index=self._index(bridge), address=host, prefixlen=int(prefix))
        except NetlinkError as error:
            if error.code not in _GONE:
                raise _refused(f"{address} cannot be taken from {bridge}", error) from error

    def attach(self, port: str, bridge: str) -> None:
        """Enslave a port and set it up; a port that vanished needs none."""
        link = self._get(port)
        if link is None:
            return
        try:
            self._route.link("set", index=link.index, master=self._index(bridge), state="up")
        except NetlinkError as error:
            if error.code not in _GONE:
                raise _refused(f"{port} cannot be attached to {bridge}", error) from error

    def delete(self, bridge: str) -> None:
        """Delete a bridge; none being there is success."""
        link = self._get(bridge)
        if link is None:
            return
        try:
            self._route.link("del", index=link.index)
        except NetlinkError as error:
            if error.code not in _GONE:
                raise _refused(f"Bridge {bridge} cannot be deleted", error) from error

    def _get(self, name: str) -> _Seen | None:
        try:
            answers = self._socket.request(_GETLINK, bytes(16) + text(_IFLA_IFNAME, name))
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
        mtu=_number(found.get(_IFLA_MTU, b"")),
        master=_number(found.get(_IFLA_MASTER, b"")),
        settings=dict(attributes(info.get(_INFO_DATA, b""))),
    )


def _number(data: bytes) -> int:
    return int.from_bytes(data, sys.byteorder)


def _string(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")


def _refused(what: str, error: NetlinkError) -> HostError:
    return HostError(f"{what}: {error.args[-1]}.", code="link_refused")
