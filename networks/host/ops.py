"""The commands a plan is made of. Each says in a sentence, for people, what it did."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TypeAlias

from kvmweb.core.names import is_cable
from networks.host.allowed import Judge
from networks.host.elements import Element
from networks.host.own_router import RouterOp, moved
from networks.host.proxy import ProxyOp
from networks.host.sentences import changed, count_of
from networks.host.state import DhcpFile

_IPV4 = re.compile(r"\b\d+\.\d+\.\d+\.\d+\b")
_SETTINGS = {
    ("ipv6/disable_ipv6", "1"): "Switched IPv6 off on bridge {}",
    ("ipv6/accept_ra", "0"): "Made bridge {} ignore what routers announce",
    ("ipv6/addr_gen_mode", "1"): "Let bridge {} make up no addresses",
    ("ipv6/accept_dad", "0"): "Let bridge {} use its IPv6 addresses at once",
    ("ipv6/disable_ipv6", "0"): "Switched IPv6 on on bridge {}",
    ("ipv6/forwarding", "1"): "Let bridge {} pass on IPv6 packets of guests",
    ("ipv4/forwarding", "0"): "Let the host pass nothing on from bridge {}",
    ("ipv4/arp_ignore", "8"): "Let the host answer for none of its addresses on bridge {}",
    ("ipv4/forwarding", "1"): "Let bridge {} pass on packets of guests",
}


@dataclass(frozen=True, slots=True)
class LoadSkeleton:
    """Bring both tables to the ruleset, keeping their elements where the sets are the same."""

    @property
    def sentence(self) -> str:
        return "Loaded the firewall rules of the host"


@dataclass(frozen=True, slots=True)
class CreateBridge:
    """Make the bridge, down, with everything that is fixed about it."""

    bridge: str
    mac: str
    mtu: int

    @property
    def sentence(self) -> str:
        return f"Created bridge {self.bridge}"


@dataclass(frozen=True, slots=True)
class SetBridge:
    """Put the fixed properties of an existing bridge right."""

    bridge: str
    mac: str
    mtu: int

    @property
    def sentence(self) -> str:
        return f"Set hardware address and MTU of bridge {self.bridge}"


@dataclass(frozen=True, slots=True)
class SetSysctl:
    """A setting of a bridge; `key` is family and name, such as `ipv4/forwarding`."""

    interface: str
    key: str
    value: str

    @property
    def sentence(self) -> str:
        return _SETTINGS[self.key, self.value].format(self.interface)


@dataclass(frozen=True, slots=True)
class AddAddress:
    """Give the bridge an address, in CIDR notation."""

    bridge: str
    address: str

    @property
    def sentence(self) -> str:
        return f"Gave bridge {self.bridge} the address {self.address}"


@dataclass(frozen=True, slots=True)
class RemoveAddress:
    """Take an address from the bridge."""

    bridge: str
    address: str

    @property
    def sentence(self) -> str:
        return f"Took the address {self.address} from bridge {self.bridge}"


@dataclass(frozen=True, slots=True)
class BringUp:
    """Set the bridge up."""

    bridge: str

    @property
    def sentence(self) -> str:
        return f"Switched bridge {self.bridge} on"


@dataclass(frozen=True, slots=True)
class EnableForwarding:
    """Let an uplink forward; its former setting is written down first."""

    interface: str

    @property
    def sentence(self) -> str:
        return f"Let uplink {self.interface} pass on packets of guests"


@dataclass(frozen=True, slots=True)
class EnableForwarding6:
    """Let the host forward IPv6 and go on listening to routers; former settings are written down
    first."""

    @property
    def sentence(self) -> str:
        return "Let the host pass on IPv6 packets of guests"


@dataclass(frozen=True, slots=True)
class PassBridged:
    """Keep bridged frames out of the IP firewall; the former setting is written down first."""

    @property
    def sentence(self) -> str:
        return "Kept traffic between guests of a network out of the IP firewall"


@dataclass(frozen=True, slots=True)
class ChangeElements:
    """Add and remove elements in one transaction, removals first. With `behind` the network has a
    router of its own: the subnet by which the host knows it, and its own, which is spoken of."""

    add: frozenset[Element]
    remove: frozenset[Element]
    behind: tuple[str, str] | None = field(default=None, repr=False)

    @property
    def sentence(self) -> str:
        if self.behind is None:
            return self._said()
        known, own = self.behind
        return _IPV4.sub(lambda found: moved(found[0], known, own), self._said())

    def _said(self) -> str:
        return changed(self.add, self.remove)


@dataclass(frozen=True, slots=True)
class ForgetRefused:
    """Empty what was noted of refused packets of these bridges and ports."""

    interfaces: frozenset[str]

    @property
    def sentence(self) -> str:
        return "Forgot what was refused"


@dataclass(frozen=True, slots=True)
class Destination:
    """What clients of a forward send to, from the first port to the last."""

    protocol: str
    address: str
    port: int
    last: int


@dataclass(frozen=True, slots=True)
class Allowed:
    """Who may use a forward: networks in CIDR notation, and the host itself."""

    number: int
    sources: frozenset[str]


@dataclass(frozen=True, slots=True)
class EndFlows:
    """End connections: of forwards by their numbers, of forwards from where they are not allowed,
    to destinations, of a whole subnet, and those that `judge` does not allow."""

    numbers: frozenset[int] = frozenset()
    narrowed: frozenset[Allowed] = frozenset()
    destinations: frozenset[Destination] = frozenset()
    subnets: frozenset[str] = frozenset()
    judge: Judge | None = None

    @property
    def sentence(self) -> str:
        return "Ended connections that the change no longer allows"


@dataclass(frozen=True, slots=True)
class AttachPort:
    """Enslave a guest port to the bridge."""

    port: str
    bridge: str

    @property
    def sentence(self) -> str:
        return f"Plugged {_port(self.port)} into bridge {self.bridge}"


@dataclass(frozen=True, slots=True)
class WidenPort:
    """Let a guest port pass packets as large as its bridge does."""

    port: str
    mtu: int

    @property
    def sentence(self) -> str:
        return f"Let {_port(self.port)} pass packets of {self.mtu} bytes"


@dataclass(frozen=True, slots=True)
class WriteDhcp:
    """Write files for dnsmasq; `replaced` says that one of them was there with another text. Here
    and below `router` is the bridge of a network whose own router has a dnsmasq of its own."""

    files: frozenset[DhcpFile]
    replaced: bool
    router: str = ""

    @property
    def sentence(self) -> str:
        hosts = sum(file.folder == "hosts" for file in self.files)
        if not hosts:
            return "Set what guests are told by DHCP"
        return f"Reserved {count_of(hosts, 'address', 'addresses')} for DHCP"


@dataclass(frozen=True, slots=True)
class RemoveDhcp:
    """Remove files of dnsmasq."""

    files: frozenset[DhcpFile]
    router: str = ""

    @property
    def sentence(self) -> str:
        hosts = sum(file.folder == "hosts" for file in self.files)
        if not hosts:
            return "Removed what guests are told by DHCP"
        return f"Released {count_of(hosts, 'address', 'addresses')} of DHCP"


@dataclass(frozen=True, slots=True)
class StartDhcp:
    """Start the one dnsmasq of the host, or of a router."""

    router: str = ""

    @property
    def sentence(self) -> str:
        of = f" of the router of bridge {self.router}" if self.router else ""
        return f"Started the DHCP service{of}"


@dataclass(frozen=True, slots=True)
class ReloadDhcp:
    """Have dnsmasq forget what was removed."""

    router: str = ""

    @property
    def sentence(self) -> str:
        return "Told the DHCP service what was removed"


@dataclass(frozen=True, slots=True)
class WriteZone:
    """Tell the name server what the network's guests are called and whom else to ask."""

    bridge: str
    text: str

    @property
    def sentence(self) -> str:
        return "Set how guests resolve names"


@dataclass(frozen=True, slots=True)
class RemoveZone:
    """Stop resolving names for the network."""

    bridge: str

    @property
    def sentence(self) -> str:
        return "Stopped resolving names for guests"


@dataclass(frozen=True, slots=True)
class StartNames:
    """Start the one name server of the host."""

    @property
    def sentence(self) -> str:
        return "Started the name server"


@dataclass(frozen=True, slots=True)
class DeleteBridge:
    """Delete the bridge; its ports stay, detached."""

    bridge: str

    @property
    def sentence(self) -> str:
        return f"Deleted bridge {self.bridge}"


Op: TypeAlias = (
    LoadSkeleton
    | CreateBridge
    | SetBridge
    | SetSysctl
    | AddAddress
    | RemoveAddress
    | BringUp
    | EnableForwarding
    | EnableForwarding6
    | PassBridged
    | ChangeElements
    | ForgetRefused
    | EndFlows
    | AttachPort
    | WidenPort
    | WriteDhcp
    | RemoveDhcp
    | StartDhcp
    | ReloadDhcp
    | DeleteBridge
    | WriteZone
    | RemoveZone
    | StartNames
    | ProxyOp
    | RouterOp
)


def _port(name: str) -> str:
    return f"{'cable' if is_cable(name) else 'guest port'} {name}"
