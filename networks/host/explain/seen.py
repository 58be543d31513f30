"""What was seen of a host, a guest and a forward: what the steps judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from networks.host.chains.judging import Judged

Port = Literal["open", "refused", "silent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An interface; `connected` is up with a carrier."""

    name: str
    up: bool
    connected: bool
    forwards: bool


@dataclass(frozen=True, slots=True)
class Foreign:
    """What a chain of another firewall does with the packet or its answer, the worse of both, and
    how an operator has it let our networks through."""

    judged: Judged
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestFacts:
    """What was seen of the guest's side. `vm` is its power state, empty when nobody could tell.

    `lease` says in words until when it has one, `mac` who answers for its address. `tied` are the
    elements of its port that are missing. `dhcp` is whether the service runs that gives addresses
    or announces the prefix. `link_mac` is who answers for the guest's IPv6 address on the link.
    """

    is_vm: bool = False
    vm: str = ""
    port: Link | None = None
    on_bridge: bool = False
    missing: tuple[str, ...] = ()
    dhcp: bool = False
    lease: str = ""
    mac: str = ""
    link_mac: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What was seen of the host. `forwarding` is the setting that each link needs, `gateways` are
    the interfaces with a default route, `holds` the addresses by interface."""

    skeleton: bool
    uplinks: tuple[Link, ...]
    gateways: tuple[str, ...]
    holds: tuple[tuple[str, str], ...]
    bridge: Link | None
    chains: tuple[Foreign, ...] = ()
    unread: tuple[str, ...] = ()
    forwarding: str = "net.ipv4.conf.{}.forwarding"
    missing: tuple[str, ...] = ()
    """Elements of the network as a whole that are not in the kernel."""
    router: tuple[str, ...] = ()
    """What would have to be done to the network's own router."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """What was seen of the interface that a bridged network is on. `ports` are those of a bridge
    that are no guests'. `addressed` says that the host has an address there, `filtered` that frames
    which are bridged pass the IP firewall."""

    link: Link | None = None
    kind: str = ""
    ports: tuple[Link, ...] = ()
    addressed: bool = False
    filtered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardFacts:
    """What was seen of one forward. `near` is what a probe from the gateway met, `far` one from an
    address outside of the network; None where it was not tried."""

    listener: bool = False
    missing: tuple[str, ...] = ()
    other: str = ""
    open_now: int = 0
    replied: int = 0
    near: Port | None = None
    far: Port | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbound:
    """What was seen of a guest's own connections, of those it has begun, and of name servers for
    it."""

    open_now: int = 0
    replied: int = 0
    begun: int = 0
    resolvers: tuple[str, ...] = ()
