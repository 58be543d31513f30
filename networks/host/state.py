"""What is on a host, as far as one network is concerned: what the drivers observed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from networks.host.elements import Element
from networks.host.own_router import NO_ROUTER, RouterState
from networks.host.proxy import NO_PROXY, ProxyState

DhcpFolder = Literal["hosts", "opts"]
BridgeFilter = Literal["off", "on", "shared"]
Settings = tuple[tuple[str, str], ...]
BRIDGE_SYSCTLS: Settings = (
    ("ipv6/disable_ipv6", "1"),
    ("ipv6/accept_ra", "0"),
    ("ipv4/forwarding", "1"),
)
# A bridge that guests' own router is plugged into: the host itself is not there to them.
SWITCH_SYSCTLS: Settings = (
    ("ipv6/disable_ipv6", "1"),
    ("ipv6/accept_ra", "0"),
    ("ipv4/forwarding", "0"),
    ("ipv4/arp_ignore", "8"),
)
# Before addresses: none is made up, none waits for its duplicate to be found (guests cannot claim
# one).
BRIDGE_SYSCTLS6: Settings = (
    ("ipv6/accept_ra", "0"),
    ("ipv6/addr_gen_mode", "1"),
    ("ipv6/accept_dad", "0"),
    ("ipv6/disable_ipv6", "0"),
    ("ipv4/forwarding", "1"),
)
# Makes the bridge say that it is a router, without which guests drop it. The kernel then forgets
# what any interface that is not set to listen as a router had heard (addrconf_fixup_forwarding), so
# it comes after those are.
BRIDGE_FORWARDING6 = ("ipv6/forwarding", "1")


@dataclass(frozen=True, slots=True)
class DhcpFile:
    """A file of dnsmasq's `dhcp-hostsdir` or `dhcp-optsdir`; its name begins with the bridge."""

    folder: DhcpFolder
    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeState:
    """A bridge as it is. `addresses` are in CIDR notation; `sysctls` those of `BRIDGE_SYSCTLS` and
    `BRIDGE_SYSCTLS6` that this kernel has; `plain` says that STP, its delay and snooping are off.
    """

    mac: str
    mtu: int
    up: bool
    plain: bool
    addresses: frozenset[str]
    sysctls: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class UplinkState:
    """An interface to the outside. `ours` says that forwarding is on there because of us;
    `primary` are the addresses that masquerading may choose there. `deaf` says that it ignores
    what routers announce only because IPv6 is forwarded. `through` says that it is a bridge, and
    that frames that are bridged there pass the IP firewall."""

    name: str
    forwarding: bool
    ours: bool
    primary: frozenset[str] = frozenset()
    deaf: bool = False
    through: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkState:
    """Everything a plan depends on.

    `elements` are those of this network and of the host as a whole. `loose_ports` are the guest
    ports of the network that are up but not enslaved to its bridge. `router` says that the host
    forwards everywhere by its own settings (net.ipv4.ip_forward). `router6` says
    that it forwards IPv6, which has no other switch that all kernels know, `router6_ours` that we
    switched it on or were about to. `bridge_filter` says whether
    frames that are bridged pass the IP firewall, and whether bridges of others share that setting.
    `resolvers` are the DNS servers guests can be told. `own` are all addresses of the host,
    `others` the subnets of its other networks. `narrow_ports` are guest ports that pass less than
    the bridge does. `passed` are bridges of others whose frames pass the IP firewall.
    `dhcp_reload_due` says that dnsmasq has not yet been told of a removal.
    `zone` is what the name server is told of the network. `own_router` is the network's own one,
    and `host_link` the host's end of the way there.
    """

    bridge: BridgeState | None = None
    skeleton: bool = False
    uplinks: tuple[UplinkState, ...] = ()
    router: bool = False
    router6: bool = False
    router6_ours: bool = False
    elements: frozenset[Element] = frozenset()
    loose_ports: frozenset[str] = frozenset()
    narrow_ports: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    bridge_filter: BridgeFilter = "off"
    passed: frozenset[str] = frozenset()
    resolvers: tuple[str, ...] = ()
    dhcp_files: frozenset[DhcpFile] = frozenset()
    dhcp_running: bool = False
    dhcp_reload_due: bool = False
    zone: str | None = None
    names_running: bool = False
    proxy: ProxyState = NO_PROXY
    own_router: RouterState = NO_ROUTER
    host_link: BridgeState | None = None

    @property
    def closed(self) -> frozenset[str]:
        """The uplinks that forward, or will, only because of us."""
        if self.router:
            return frozenset()
        return frozenset(
            uplink.name for uplink in self.uplinks if uplink.ours or not uplink.forwarding
        )
