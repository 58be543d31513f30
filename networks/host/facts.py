"""Gathering what `explain` judges, by sockets of its own that only read; probes are sent to the
guest alone. For the caller's thread and its namespace; nothing here waits longer than seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from kvmweb.host.config import HostPaths
from networks.host import firewalls, preflight
from networks.host.chains.judging import BaseChain, Judged, Packet, judge
from networks.host.contents import owned
from networks.host.drivers import flowtable, foreign, hostfacts, looking, namespaces, probes
from networks.host.drivers.dhcp import Dhcp
from networks.host.drivers.firewall import Firewall
from networks.host.drivers.links import Links
from networks.host.drivers.nftables import NftablesSocket
from networks.host.drivers.routers import Routers, dhcp_of, namespace_of
from networks.host.drivers.sysctls import Sysctls
from networks.host.elements import DOORS, Element
from networks.host.explain.forward import explain_forward
from networks.host.explain.outbound import explain_outbound
from networks.host.explain.seen import (
    Foreign,
    ForwardFacts,
    GuestFacts,
    HostFacts,
    Link,
    Outbound,
    Port,
)
from networks.host.explain.steps import Case, Step
from networks.host.own_router import amiss, host_side, to_guests, to_host
from networks.host.spec import ForwardSpec, NetworkSpec, ReservationSpec

VmState = Callable[[str], str | None]
"""The power state of the VM on a guest port: empty when unknown, None when there is no such VM."""

_LEADING = frozenset({"fwd4", "rng4", "whole4"})
_COUNTERS = frozenset({"acct_in", "acct_out", "settled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Looker:
    """Where this host's things are, and what its configuration says of uplinks."""

    paths: HostPaths
    uplinks: tuple[str, ...] = ()
    resolv_files: tuple[Path, ...] = hostfacts.RESOLV_FILES
    vm_state: VmState = lambda _: None

    def forward(
        self,
        spec: NetworkSpec,
        reservation: ReservationSpec,
        forward: ForwardSpec,
        case: Case,
    ) -> tuple[Step, ...]:
        """Why this forward is (not) reachable, by the port and for the source that are named."""
        asked = _one_port(forward, case.public_port)
        outer = host_side(spec)
        uplink = self._uplink_of(forward.public_address)
        new = Packet(
            iif=uplink,
            oif=outer.bridge,
            source=case.source or None,
            destination=to_host(spec, reservation.address),
            protocol="tcp" if forward.protocol == "all" else forward.protocol,
            dport=asked.port,
            dnat=True,
        )
        with ThreadPoolExecutor(3) as probing:
            guest = probing.submit(self._guest, spec, reservation)
            own = probing.submit(self._own, spec, forward, asked)
            host = self._host(spec, new)
            facts = (host, own.result(), guest.result())
        return explain_forward(spec, reservation, asked, case.source, facts)

    def outbound(self, spec: NetworkSpec, reservation: ReservationSpec) -> tuple[Step, ...]:
        """Why this guest does (not) reach the outside."""
        new = Packet(
            iif=host_side(spec).bridge,
            oif=next(iter(hostfacts.uplinks()), ""),
            source=to_host(spec, reservation.address),
            destination=None,
            protocol="tcp",
            dport=443,
        )
        guest = self._guest(spec, reservation)
        host = self._host(spec, new)
        return explain_outbound(spec, reservation, (host, self._outbound(spec, reservation), guest))

    def _host(self, spec: NetworkSpec, new: Packet) -> HostFacts:
        found, unread = foreign.forward_chains()
        names = self.uplinks or hostfacts.uplinks()
        missing = _missing([e for e in owned(_only(spec)) if e.name not in _COUNTERS])
        return HostFacts(
            skeleton=self._is_skeleton(),
            uplinks=tuple(link for name in names if (link := self._link(name)) is not None),
            gateways=hostfacts.uplinks(),
            holds=tuple((each.interface, each.address) for each in hostfacts.addresses()),
            bridge=self._link(host_side(spec).bridge),
            router=self._amiss(spec),
            chains=tuple(_judged(chain, new) for chain in found),
            unread=tuple(unread),
            missing=missing,
        )

    def _own(self, spec: NetworkSpec, forward: ForwardSpec, asked: ForwardSpec) -> ForwardFacts:
        flows = flowtable.of_forward(forward.number)
        elements = _elements_of(spec, forward)
        there = _looked_up([e for e in elements if e.name in DOORS])
        others = [e for e in there if e not in elements]
        near, far = self._service(spec, asked)
        return ForwardFacts(
            listener=self._is_taken(asked),
            missing=_missing([e for e in elements if e.name not in _COUNTERS]),
            other=":".join(to_guests(spec, str(part)) for part in others[0].value)
            if others
            else "",
            open_now=len(flows),
            replied=sum(flowtable.is_replied(each) for each in flows),
            near=near,
            far=far,
        )

    def _service(self, spec: NetworkSpec, forward: ForwardSpec) -> tuple[Port | None, Port | None]:
        """What answers on the port: asked from the gateway, and from an address beyond it."""
        own = {each.address for each in hostfacts.addresses()}
        gateway, address = host_side(spec).gateway, to_host(spec, forward.address)
        if gateway not in own or forward.protocol == "all":
            return None, None
        probe = probes.tcp_port if forward.protocol == "tcp" else probes.udp_port
        with ThreadPoolExecutor(1) as probing:
            near = probing.submit(probe, address, forward.port, gateway)
            far: Port | None = None
            if forward.public_address in own and forward.protocol == "tcp":
                far = probe(address, forward.port, forward.public_address)
            return near.result(), far

    def _guest(self, spec: NetworkSpec, reservation: ReservationSpec) -> GuestFacts:
        state = self.vm_state(reservation.port) if reservation.port else None
        port, bridge = looking.interface(reservation.port), looking.interface(spec.bridge)
        dhcp = self._dhcp(spec)
        elements = [e for e, of in owned(_only(spec, reservation)).items() if of == reservation.id]
        return GuestFacts(
            is_vm=state is not None,
            vm=state or "",
            port=self._link(reservation.port),
            on_bridge=bool(port and bridge and port.master == bridge.index),
            missing=_missing(elements),
            dhcp=dhcp.pid() is not None,
            lease=_until(dhcp.lease_until(reservation.address, reservation.mac)),
            mac=self._who_has(spec, reservation),
        )

    def _dhcp(self, spec: NetworkSpec) -> Dhcp:
        if spec.transit:
            return dhcp_of(self.paths.routers, spec.bridge)
        return Dhcp(self.paths.run / "dnsmasq")

    def _who_has(self, spec: NetworkSpec, reservation: ReservationSpec) -> str:
        """Who answers for the address, asked by the gateway, wherever that is."""

        def ask() -> str:
            own = looking.interface(spec.bridge)
            if own is None:
                return ""
            return probes.who_has(spec.bridge, own.mac, spec.gateway, reservation.address)

        if not spec.transit:
            return ask()
        namespace = namespace_of(self.paths.routers, spec.bridge)
        return namespaces.within(namespace, ask) if namespaces.exists(namespace) else ""

    def _amiss(self, spec: NetworkSpec) -> tuple[str, ...]:
        if not spec.transit:
            return ()
        with closing(Links()) as links:
            return amiss(spec, Routers(self.paths.routers, links).observe(spec))

    def _outbound(self, spec: NetworkSpec, reservation: ReservationSpec) -> Outbound:
        flows = flowtable.of_guest(to_host(spec, reservation.address))
        own = {each.address for each in hostfacts.addresses()}
        resolvers = hostfacts.resolvers(self.resolv_files)
        return Outbound(
            open_now=len(flows),
            replied=sum(flowtable.is_replied(each) for each in flows),
            resolvers=tuple(each for each in resolvers if each not in own),
        )

    def _link(self, name: str) -> Link | None:
        seen = looking.interface(name)
        if seen is None:
            return None
        forwards = Sysctls(self.paths.run / "forwarding.json").forwards(name)
        return Link(name=name, up=seen.up, connected=seen.connected, forwards=forwards)

    def _uplink_of(self, address: str) -> str:
        holders = (each.interface for each in hostfacts.addresses() if each.address == address)
        return next(holders, next(iter(self.uplinks or hostfacts.uplinks()), ""))

    def _is_skeleton(self) -> bool:
        with closing(Firewall(self.paths.run / "nftables.json")) as firewall:
            return firewall.is_skeleton()

    def _is_taken(self, forward: ForwardSpec) -> bool:
        own = {each.address for each in hostfacts.addresses()}
        return preflight.hidden_by(forward, own, hostfacts.listeners()) is not None


def _judged(chain: BaseChain, new: Packet) -> Foreign:
    """The worse of what happens to a packet and to its answer."""
    return Foreign(_worse(chain, new), firewalls.remedy(chain))


def _worse(chain: BaseChain, new: Packet) -> Judged:
    there = judge(chain, new)
    back = judge(
        chain,
        replace(
            new,
            iif=new.oif,
            oif=new.iif,
            source=new.destination,
            destination=new.source,
            sport=new.dport,
            dport=0,
            state="established",
        ),
    )
    if there.drops or back.passes:
        return there
    return back if back.drops or there.passes else there


def _one_port(forward: ForwardSpec, port: int) -> ForwardSpec:
    """The forward as far as one of its ports is concerned: the first unless another is asked."""
    at = port - forward.public_port
    if forward.ports <= 1 or not 0 <= at < forward.ports:
        at = 0
    public_port, target = forward.public_port + at, forward.port + at
    return replace(forward, public_port=public_port, port=target, ports=1)


def _elements_of(spec: NetworkSpec, forward: ForwardSpec) -> list[Element]:
    """Those of one protocol of one forward, without building those of all others."""
    alone = replace(spec, reservations=(), forwards=(forward,))
    return [element for element, of in owned(alone).items() if of == forward.id]


def _only(spec: NetworkSpec, *reservations: ReservationSpec) -> NetworkSpec:
    return replace(spec, reservations=reservations, forwards=())


def _looked_up(elements: list[Element]) -> list[Element]:
    with closing(NftablesSocket()) as connection:
        return connection.lookup(elements)


def _missing(elements: list[Element]) -> tuple[str, ...]:
    """What of these is not in the kernel, in words."""
    there = set(_looked_up(elements))
    return tuple(
        f"{element.name} {' . '.join(str(part) for part in element.key)}"
        for element in elements
        if element not in there
    )


def _until(expiry: float | None) -> str:
    if expiry is None:
        return ""
    return f"{datetime.fromtimestamp(expiry, UTC):%Y-%m-%d %H:%M} UTC" if expiry else "for ever"
