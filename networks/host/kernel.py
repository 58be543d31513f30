"""The drivers of a host together: observe a network, perform one op. For the owner's thread."""

from __future__ import annotations

from pathlib import Path
from typing import assert_never

from kvmweb.core.names import BRIDGE_PREFIX
from kvmweb.host.config import HostPaths
from networks.host.drivers import attached, hostfacts
from networks.host.drivers.dhcp import Dhcp
from networks.host.drivers.firewall import Firewall
from networks.host.drivers.flows import Flows
from networks.host.drivers.haproxy import proxy_of
from networks.host.drivers.hostfacts import Address
from networks.host.drivers.links import Link, Links
from networks.host.drivers.names import NameServer
from networks.host.drivers.netlink import Answer
from networks.host.drivers.routers import Routers
from networks.host.drivers.surroundings import Surroundings
from networks.host.drivers.sysctls import Sysctls
from networks.host.elements import Element
from networks.host.ops import (
    AddAddress,
    AttachPort,
    BringUp,
    ChangeElements,
    CreateBridge,
    DeleteBridge,
    EnableForwarding,
    EnableForwarding6,
    EndFlows,
    ForgetRefused,
    LoadSkeleton,
    Op,
    PassBridged,
    ReloadDhcp,
    RemoveAddress,
    RemoveDhcp,
    RemoveZone,
    SetBridge,
    SetSysctl,
    StartDhcp,
    StartNames,
    WidenPort,
    WriteDhcp,
    WriteZone,
)
from networks.host.own_router import (
    NO_ROUTER,
    DeleteRouter,
    LayCable,
    LoadTranslation,
    MakeRouter,
    SetUpRouter,
    host_side,
    owners,
)
from networks.host.preflight import is_foreign
from networks.host.proxy import (
    ChangeNames,
    EndSessions,
    StartProxy,
    StopProxy,
    StoreCertificates,
    WriteNames,
    routes,
)
from networks.host.spec import NetworkSpec
from networks.host.state import (
    BRIDGE_FORWARDING6,
    BRIDGE_SYSCTLS,
    BRIDGE_SYSCTLS6,
    SWITCH_SYSCTLS,
    BridgeFilter,
    BridgeState,
    NetworkState,
    UplinkState,
)

Refused = dict[Element, Answer]
_NEUTRAL = (BRIDGE_PREFIX, "virbr")  # libvirt's own bridges do not want their frames filtered


class HostKernel:
    """Everything of the host that a network touches. `uplinks` none: those of default routes."""

    def __init__(
        self,
        paths: HostPaths,
        uplinks: tuple[str, ...],
        resolv_files: tuple[Path, ...],
        key: str = "",
    ) -> None:
        self._uplinks = uplinks
        self._resolv_files = resolv_files
        self.links = Links()
        self.firewall = Firewall(paths.run / "nftables.json")
        self.flows = Flows()
        self.surroundings = Surroundings()
        self.sysctls = Sysctls(paths.run / "forwarding.json")
        self.dhcp = Dhcp(paths.run / "dnsmasq")
        self.names = NameServer(paths.run / "names", resolv_files[0])
        self.proxy = proxy_of(paths, key)
        self.routers = Routers(paths.routers, self.links)

    def close(self) -> None:
        """Close all sockets; everything in the kernel stays."""
        self.links.close()
        self.firewall.close()
        self.flows.close()
        self.surroundings.close()

    def observe(self, spec: NetworkSpec) -> NetworkState:
        """What is there of the network `spec` is about."""
        tables = self.firewall.observe()
        link = self.links.observe(spec.bridge)
        addresses = self.surroundings.addresses()
        ports = self.links.ports({each.port for each in spec.reservations if each.port})
        outer = host_side(spec)
        dhcp = self._dhcp(spec.bridge if spec.transit else "")
        bridged = spec.mode == "bridged" and spec.present
        filtered = self.links.bridges("") if self.sysctls.filters_bridged() else None
        return NetworkState(
            bridge=None if link is None else self._bridge(spec.bridge, link, addresses),
            host_link=self._host_link(outer.bridge, addresses) if spec.transit else None,
            own_router=self.routers.observe(spec) if spec.transit else NO_ROUTER,
            skeleton=tables.skeleton,
            uplinks=self._uplink_states(addresses, filtered),
            router=self.sysctls.is_router(),
            router6=self.sysctls.is_router6(),
            router6_ours=self.sysctls.routes6_for_us(),
            elements=tables.of("", *owners(spec)),
            loose_ports=attached.loose(self.links, spec, ports)
            if bridged
            else self.links.loose(ports, link),
            narrow_ports=frozenset() if bridged else self.links.narrow(ports, spec.mtu),
            own=frozenset(address.address for address in addresses),
            others=self.surroundings.other_subnets(outer.bridge),
            bridge_filter=_bridge_filter(filtered),
            passed=frozenset(filter(is_foreign, filtered or ())),
            resolvers=self._resolvers(addresses),
            dhcp_files=dhcp.files(spec.bridge),
            dhcp_running=dhcp.is_running(),
            dhcp_reload_due=dhcp.is_reload_due(),
            zone=self.names.zone(spec.bridge),
            names_running=self.names.is_running(),
            proxy=self.proxy.observe(outer.bridge, {route.key for route in routes(outer)}),
        )

    def elements(self, spec: NetworkSpec) -> frozenset[Element]:
        """What the tables hold of the network and of the host as a whole."""
        return self.firewall.observe().of("", *owners(spec))

    def perform(self, op: Op) -> Refused:  # noqa: C901
        """Do one op; returns the elements the kernel refused, of `ChangeElements` alone."""
        match op:
            case ChangeElements():
                return self.firewall.change(op.add, op.remove)
            case LoadSkeleton():
                self.firewall.load_skeleton()
            case CreateBridge():
                self.links.create_bridge(op.bridge, op.mac, op.mtu)
            case SetBridge():
                self.links.set_bridge(op.bridge, op.mac, op.mtu)
            case SetSysctl():
                self.sysctls.write(op.interface, op.key, op.value)
            case AddAddress():
                self.links.add_address(op.bridge, op.address)
            case RemoveAddress():
                self.links.remove_address(op.bridge, op.address)
            case BringUp():
                self.links.bring_up(op.bridge)
            case EnableForwarding():
                self.sysctls.enable_forwarding(op.interface)
            case EnableForwarding6():
                self.sysctls.enable_forwarding6()
            case PassBridged():
                self.sysctls.pass_bridged()
            case ForgetRefused():
                self.firewall.forget(op.interfaces)
            case EndFlows():
                self.flows.end(op)
            case AttachPort():
                self.links.attach(op.port, op.bridge)
            case WidenPort():
                self.links.widen(op.port, op.mtu)
            case WriteDhcp():
                self._dhcp(op.router).write(op.files, replaced=op.replaced)
            case RemoveDhcp():
                self._dhcp(op.router).remove(op.files)
            case StartDhcp():
                self._dhcp(op.router).start()
            case ReloadDhcp():
                self._dhcp(op.router).reload()
            case WriteZone():
                self.names.write(op.bridge, op.text)
            case RemoveZone():
                self.names.remove(op.bridge)
            case StartNames():
                self.names.start()
            case StoreCertificates():
                self.proxy.store(op)
            case ChangeNames():
                self.proxy.change(op)
            case EndSessions():
                self.proxy.end(op)
            case WriteNames():
                self.proxy.write(op)
            case StartProxy():
                self.proxy.start(op)
            case StopProxy():
                self.proxy.stop()
            case MakeRouter():
                self.routers.make(op.bridge)
            case LayCable():
                self.routers.lay(op)
            case LoadTranslation():
                self.routers.load(op.bridge, op.text)
            case SetUpRouter():
                self.routers.set_up(op.bridge, op.inside)
            case DeleteRouter():
                self.routers.delete(op.bridge)
            case DeleteBridge():
                self.links.delete(op.bridge)
            case _:
                assert_never(op)
        return {}

    def remove_all(self) -> None:
        """Take away everything of ours and put back what was changed of the host's own. Raises
        `HostError` before anything is changed if another worker runs."""
        self.firewall.claim()
        self.routers.delete_all()
        for bridge in self.links.bridges():
            self.links.delete(bridge)
        self.dhcp.delete()
        self.names.delete()
        self.proxy.delete()
        self.sysctls.put_back()
        self.firewall.delete()

    def _dhcp(self, router: str) -> Dhcp:
        return self.routers.dhcp(router) if router else self.dhcp

    def _host_link(self, name: str, addresses: list[Address]) -> BridgeState | None:
        link = self.links.cable(name)
        return None if link is None else self._bridge(name, link, addresses)

    def _bridge(self, name: str, link: Link, addresses: list[Address]) -> BridgeState:
        keys = dict((*BRIDGE_SYSCTLS, *SWITCH_SYSCTLS, *BRIDGE_SYSCTLS6, BRIDGE_FORWARDING6))
        values = {key: self.sysctls.read(name, key) for key in keys}
        return BridgeState(
            mac=link.mac,
            mtu=link.mtu,
            up=link.up,
            plain=link.plain,
            addresses=frozenset(a.cidr for a in addresses if a.interface == name),
            sysctls=frozenset((key, value) for key, value in values.items() if value is not None),
        )

    def _uplink_states(
        self, addresses: list[Address], filtered: list[str] | None
    ) -> tuple[UplinkState, ...]:
        names = self._uplinks or self.surroundings.uplinks()
        ours = self.sysctls.changed()
        return tuple(
            UplinkState(
                name,
                self.sysctls.forwards(name),
                name in ours,
                _primary(name, addresses),
                self.sysctls.is_deaf(name),
                name in (filtered or ()),
            )
            for name in names
            if not name.startswith(BRIDGE_PREFIX) and self.sysctls.exists(name)
        )

    def _resolvers(self, addresses: list[Address]) -> tuple[str, ...]:
        """Guests cannot reach the host itself, so its own addresses are no use to them."""
        own = {address.address for address in addresses}
        return tuple(found for found in hostfacts.resolvers(self._resolv_files) if found not in own)


def _bridge_filter(filtered: list[str] | None) -> BridgeFilter:
    """br_netfilter knows one switch for all bridges (a bridge's own nf_call_iptables is OR-ed to
    it), and some programs filter containers on their bridges by it. `filtered` are the bridges
    whose frames it filters, None where it does not."""
    if filtered is None:
        return "off"
    foreign = (name for name in filtered if not name.startswith(_NEUTRAL))
    return "shared" if any(foreign) else "on"


def _primary(interface: str, addresses: list[Address]) -> frozenset[str]:
    """Masquerading never takes a secondary address (inet_select_addr, net/ipv4/devinet.c); among
    those of IPv6, where the flag means a temporary one, it may choose any."""
    return frozenset(
        each.address
        for each in addresses
        if each.interface == interface and not (each.secondary and ":" not in each.address)
    )
