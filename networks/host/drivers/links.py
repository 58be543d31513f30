"""Bridges, their addresses and ports, by pyroute2."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Interface
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from kvmweb.core.errors import HostError
from kvmweb.core.names import BRIDGE_PREFIX

# STP would hold a port silent for 2 x forward_delay; snooping without a querier on the bridge
# loses multicast, so it is flooded. Filtering of bridged packets by iptables is not asked for here,
# though the host-wide net.bridge.bridge-nf-call-iptables overrules that (br_netfilter_hooks.c).
_PLAIN = {
    "br_stp_state": 0,
    "br_forward_delay": 0,
    "br_mcast_snooping": 0,
    "br_nf_call_iptables": 0,
}
_IFF_UP = 1
_GONE = {errno.ENODEV, errno.EADDRNOTAVAIL}


@dataclass(frozen=True, slots=True)
class Link:
    """A bridge as the kernel has it."""

    index: int
    mac: str
    mtu: int
    up: bool
    plain: bool
    addresses: frozenset[str]


class Links:
    """One netlink connection, for the thread that made it."""

    def __init__(self) -> None:
        self._route = IPRoute()

    def close(self) -> None:
        """Close the connection."""
        self._route.close()

    def observe(self, bridge: str) -> Link | None:
        """The bridge, None when there is none of this name."""
        link = self._get(bridge)
        if link is None:
            return None
        if _nested(link, "IFLA_LINKINFO", "IFLA_INFO_KIND") != "bridge":
            raise HostError(
                f"The host has an interface {bridge} that is not a bridge.",
                code="name_taken",
                remedy=f"Rename or remove the interface {bridge} on the host.",
            )
        index = link["index"]
        return Link(
            index=index,
            mac=link.get_attr("IFLA_ADDRESS"),
            mtu=link.get_attr("IFLA_MTU"),
            up=bool(link["flags"] & _IFF_UP),
            plain=_is_plain(link),
            addresses=self._addresses(index),
        )

    def loose(self, ports: Iterable[str], bridge: Link | None) -> frozenset[str]:
        """Those of `ports` that are up but not enslaved to the bridge.

        libvirt makes a tap, enslaves it, then sets it up (virnetdevtap.c); one that is still down
        is left to it, for it fails on a tap that has a master already.
        """
        master = bridge.index if bridge else None
        found = {port: self._get(port) for port in ports}
        return frozenset(
            port
            for port, link in found.items()
            if link is not None
            and link["flags"] & _IFF_UP
            and (master is None or link.get_attr("IFLA_MASTER") != master)
        )

    def bridges(self, prefix: str = BRIDGE_PREFIX) -> list[str]:
        """The bridges whose name begins with `prefix`, which is ours by default."""
        return [
            link.get_attr("IFLA_IFNAME")
            for link in self._route.link("dump")
            if link.get_attr("IFLA_IFNAME").startswith(prefix)
            and _nested(link, "IFLA_LINKINFO", "IFLA_INFO_KIND") == "bridge"
        ]

    def create_bridge(self, bridge: str, mac: str, mtu: int) -> None:
        """Make a bridge, down. One that is there already is put right."""
        try:
            self._route.link("add", ifname=bridge, kind="bridge", address=mac, **_PLAIN)
        except NetlinkError as error:
            if error.code != errno.EEXIST:
                raise _refused(f"Bridge {bridge} cannot be made", error) from error
        self.set_bridge(bridge, mac, mtu)

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
        interface = IPv4Interface(address)
        try:
            self._route.addr(
                "add",
                index=self._index(bridge),
                address=str(interface.ip),
                prefixlen=interface.network.prefixlen,
                broadcast=str(interface.network.broadcast_address),
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
            self._route.link("set", index=link["index"], master=self._index(bridge), state="up")
        except NetlinkError as error:
            if error.code not in _GONE:
                raise _refused(f"{port} cannot be attached to {bridge}", error) from error

    def delete(self, bridge: str) -> None:
        """Delete a bridge; none being there is success."""
        link = self._get(bridge)
        if link is None:
            return
        try:
            self._route.link("del", index=link["index"])
        except NetlinkError as error:
            if error.code not in _GONE:
                raise _refused(f"Bridge {bridge} cannot be deleted", error) from error

    def _get(self, name: str) -> Any | None:
        try:
            return next(iter(self._route.link("get", ifname=name)))
        except NetlinkError as error:
            if error.code in _GONE:
                return None
            raise _refused(f"{name} cannot be read", error) from error

    def _index(self, name: str) -> int:
        link = self._get(name)
        if link is None:
            raise HostError(
                f"Interface {name} vanished while it was worked on.", code="link_vanished"
            )
        return int(link["index"])

    def _addresses(self, index: int) -> frozenset[str]:
        return frozenset(
            f"{found.get_attr('IFA_LOCAL') or found.get_attr('IFA_ADDRESS')}/{found['prefixlen']}"
            for found in self._route.get_addr(family=2, index=index)
        )


def _is_plain(link: Any) -> bool:
    data = _nested(link, "IFLA_LINKINFO", "IFLA_INFO_DATA")
    return data is not None and all(
        data.get_attr(f"IFLA_{name.upper()}") == value for name, value in _PLAIN.items()
    )


def _nested(link: Any, *names: str) -> Any | None:
    for name in names:
        if link is None:
            return None
        link = link.get_attr(name)
    return link


def _refused(what: str, error: NetlinkError) -> HostError:
    return HostError(f"{what}: {error.args[-1]}.", code="link_refused")
