"""Gathering what `explain` judges, by sockets of its own that only read; probes are sent to the
guest alone. For the caller's thread and its namespace; nothing here waits longer than seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kvmweb.core.ipv6 import LINK_LOCAL, interface_address
from kvmweb.host.config import HostPaths
from networks.host import lookups, preflight
from networks.host.chains.judging import Packet
from networks.host.drivers import (
    certificates,
    flowtable,
    foreign,
    hostfacts,
    looking,
    namespaces,
    probes,
)
from networks.host.drivers.dhcp import Dhcp
from networks.host.drivers.firewall import Firewall
from networks.host.drivers.haproxy import proxy_of
from networks.host.drivers.links import Links
from networks.host.drivers.routers import Routers, dhcp_of, namespace_of
from networks.host.drivers.sysctls import Sysctls
from networks.host.elements import DOORS
from networks.host.explain.bridged import explain_bridged
from networks.host.explain.certificate import CertificateFacts
from networks.host.explain.forward import explain_forward
from networks.host.explain.host_name import ProxyFacts, explain_host_name
from networks.host.explain.inbound import explain_inbound
from networks.host.explain.lists import Asked
from networks.host.explain.outbound import explain_outbound
from networks.host.explain.peers import explain_peers
from networks.host.explain.seen import (
    ForwardFacts,
    GuestFacts,
    HostFacts,
    Link,
    Outbound,
    Port,
    Wire,
)
from networks.host.explain.steps import Case, Step
from networks.host.explain.ways import Version, seen_by, version_of
from networks.host.own_router import amiss, host_side, to_guests, to_host
from networks.host.proxy import lines
from networks.host.spec import ForwardSpec, HostNameSpec, NetworkSpec, ReservationSpec

VmState = Callable[[str], str | None]
"""The power state of the VM on a guest port: empty when unknown, None when there is no such VM."""

_WEB = 443
_TAP = "tun"


@dataclass(frozen=True, slots=True, kw_only=True)
class Looker:
    """Where this host's things are, and what its configuration says of uplinks."""

    paths: HostPaths
    uplinks: tuple[str, ...] = ()
    resolv_files: tuple[Path, ...] = hostfacts.RESOLV_FILES
    vm_state: VmState = lambda _: None
    key: str = field(default="", repr=False)
    """Opens what is sealed for this host."""

    def forward(
        self,
        spec: NetworkSpec,
        reservation: ReservationSpec,
        forward: ForwardSpec,
        case: Case,
    ) -> tuple[Step, ...]:
        """Why this forward is (not) reachable, by the port and for the source that are named."""
        version = version_of(forward.public_address)
        seen, guest = seen_by(spec, reservation, version)
        one = _one_port(forward, case.public_port)
        protocol = case.protocol if forward.protocol == "all" else forward.protocol
        asked = Asked(address=case.source, protocol=protocol, port=one.port)
        new = _packet(
            version,
            iif=self._uplink_of(forward.public_address),
            oif=host_side(spec).bridge,
            source=case.source or None,
            destination=to_host(spec, guest.address),
            protocol=protocol,
            dport=one.port,
            dnat=True,
        )
        shown = forward if forward.protocol == "all" else one
        with ThreadPoolExecutor(3) as probing:
            found = probing.submit(self._guest, spec, reservation, version)
            own = probing.submit(self._own, seen, spec, forward, asked)
            host = self._host(spec, new)
            facts = (host, own.result(), found.result())
        return explain_forward(seen, guest, shown, asked, facts)

    def outbound(
        self, spec: NetworkSpec, reservation: ReservationSpec, case: Case | None = None
    ) -> tuple[Step, ...]:
        """Why this guest does (not) reach the outside, or the destination that is named."""
        case = case or Case(network=spec.subject)
        version = version_of(case.destination, _any(case.version))
        seen, guest = seen_by(spec, reservation, version)
        asked = Asked(address=case.destination, protocol=case.protocol, port=case.port)
        new = _packet(
            version,
            iif=host_side(spec).bridge,
            oif=next(iter(hostfacts.uplinks()), ""),
            source=to_host(spec, guest.address),
            destination=case.destination or None,
            protocol=case.protocol,
            dport=case.port or _WEB,
        )
        facts = (
            self._host(spec, new),
            self._outbound(spec, guest),
            self._guest(spec, reservation, version),
        )
        return explain_outbound(seen, guest, asked, facts)

    def inbound(
        self, spec: NetworkSpec, reservation: ReservationSpec, case: Case
    ) -> tuple[Step, ...]:
        """Why this guest is (not) reachable by its own address."""
        version = version_of(case.source, _any(case.version))
        seen, guest = seen_by(spec, reservation, version)
        asked = Asked(address=case.source, protocol=case.protocol, port=case.port)
        new = _packet(
            version,
            iif=next(iter(self.uplinks or hostfacts.uplinks()), ""),
            oif=host_side(spec).bridge,
            source=case.source or None,
            destination=to_host(spec, guest.address),
            protocol=case.protocol,
            dport=case.port,
        )
        near, far = self._service(seen, guest.address, "", asked)
        own = ForwardFacts(near=near, far=far)
        facts = self._host(spec, new), own, self._guest(spec, reservation, version)
        return explain_inbound(seen, guest, asked, facts)

    def bridged(
        self, spec: NetworkSpec, reservation: ReservationSpec, case: Case
    ) -> tuple[Step, ...]:
        """Why this guest of a bridged network is (not) reachable, or does (not) reach others."""
        version = version_of(case.source, case.destination, _any(case.version))
        new = _packet(
            version,
            iif=spec.attach,
            oif=spec.attach,
            source=case.source or None,
            destination=case.destination or None,
            protocol=case.protocol,
            dport=case.port or _WEB,
        )
        wire = looking.interface(spec.attach)
        port = looking.interface(reservation.port)
        state = self.vm_state(reservation.port) if reservation.port else None
        guest = GuestFacts(
            is_vm=state is not None,
            vm=state or "",
            port=self._link(reservation.port, version),
            on_bridge=bool(port and wire and port.master == wire.index),
            missing=lookups.missing(lookups.of_guest(spec, reservation, version)),
        )
        asked = Asked(address=case.source, protocol=case.protocol, port=case.port)
        facts = self._host(spec, new), self._wire(spec.attach, version), guest
        return explain_bridged(
            spec, reservation, asked, facts, version if case.way == "in" else None
        )

    def _wire(self, name: str, version: Version) -> Wire:
        seen = looking.interface(name)
        if seen is None:
            return Wire()
        leading = (
            each.name
            for each in looking.ports(seen)
            if preflight.is_foreign(each.name) and each.kind != _TAP
        )
        links = (self._link(each, version) for each in leading)
        return Wire(
            link=self._link(name, version),
            kind=seen.kind,
            ports=tuple(link for link in links if link is not None),
            addressed=any(each.interface == name for each in _addresses(version)),
            filtered=Sysctls(self.paths.run / "forwarding.json").filters_bridged(),
        )

    def peers(self, own: NetworkSpec, other: NetworkSpec) -> tuple[Step, ...]:
        """Why guests of one network do (not) reach those of the other."""
        families: tuple[Version, ...] = (4, 6) if "off" not in (own.ipv6, other.ipv6) else (4,)
        seen = {version: self._between(own, other, version) for version in families}
        return explain_peers(own, other, seen)

    def _between(
        self, own: NetworkSpec, other: NetworkSpec, version: Version
    ) -> tuple[HostFacts, HostFacts]:
        iif, oif = host_side(own).bridge, host_side(other).bridge
        here = self._host(own, _packet(version, iif=iif, oif=oif, source=None, destination=None))
        there = replace(
            here,
            bridge=self._link(oif, version),
            missing=lookups.missing(lookups.of_network(other, version)),
        )
        return here, there

    def host_name(
        self, spec: NetworkSpec, guest: ReservationSpec, name: HostNameSpec
    ) -> tuple[Step, ...]:
        """Why a request by this name does (not) arrive. What it comes by and what it goes on by
        may be of different families."""
        iif, oif = self._uplink_of(name.public_address), host_side(spec).bridge
        came, version = version_of(name.public_address), version_of(name.address)
        host = self._host(spec, _packet(came, iif=iif, oif=oif, source=None, destination=None))
        seen, one = seen_by(spec, guest, version)
        found = host, self._proxy(spec, seen, name), self._guest(spec, guest, version)
        return explain_host_name(seen, one, name, found, datetime.now(UTC))

    def _proxy(self, spec: NetworkSpec, seen: NetworkSpec, name: HostNameSpec) -> ProxyFacts:
        outer = host_side(spec)
        wanted = lines(outer.bridge, (each for each in outer.host_names if each.id == name.id))
        proxy = proxy_of(self.paths)
        state = proxy.observe(outer.bridge, {route.key for route in wanted})
        asked = {
            port: Asked(protocol="tcp", port=port)
            for port in (name.http_port, name.tls_port)
            if port
        }
        near = {port: self._service(seen, name.address, "", one)[0] for port, one in asked.items()}
        return ProxyFacts(
            running=state.running,
            listens=name.public_address in state.bound,
            missing=tuple(sorted({route.table for route in wanted - state.live})),
            ports=tuple((port, ForwardFacts(near=met)) for port, met in near.items()),
            certificate=self._certificate(name),
        )

    def _certificate(self, name: HostNameSpec) -> CertificateFacts | None:
        if name.tls != "terminate":
            return None
        if problem := certificates.problem(self.key, name.sealed_pem):
            return CertificateFacts(problem=problem)
        seen = certificates.seen(self.key, name.sealed_pem)
        return CertificateFacts(
            names=seen.names, not_before=seen.not_before, not_after=seen.not_after
        )

    def _host(self, spec: NetworkSpec, new: Packet) -> HostFacts:
        version: Version = 6 if new.family == "ipv6" else 4
        found, unread = foreign.forward_chains(version)
        names = self.uplinks or hostfacts.uplinks()
        links = (self._link(name, version) for name in names)
        return HostFacts(
            skeleton=self._is_skeleton(),
            uplinks=tuple(link for link in links if link is not None),
            gateways=hostfacts.uplinks(),
            holds=tuple((each.interface, each.address) for each in _addresses(version)),
            bridge=self._link(host_side(spec).bridge, version),
            router=self._amiss(spec),
            chains=tuple(lookups.judged(chain, new) for chain in found),
            unread=tuple(unread),
            forwarding=_FORWARDING[version],
            missing=lookups.missing(lookups.of_network(spec, version)),
        )

    def _own(
        self, seen: NetworkSpec, spec: NetworkSpec, forward: ForwardSpec, asked: Asked
    ) -> ForwardFacts:
        flows = flowtable.of_forward(forward.number)
        elements = lookups.of_forward(spec, forward)
        there = lookups.looked_up([e for e in elements if e.name in DOORS])
        others = [e for e in there if e not in elements]
        near, far = self._service(seen, forward.address, forward.public_address, asked)
        return ForwardFacts(
            listener=self._is_taken(forward),
            missing=lookups.missing(elements),
            other=":".join(to_guests(spec, str(part)) for part in others[0].value)
            if others
            else "",
            open_now=len(flows),
            replied=sum(flowtable.is_replied(each) for each in flows),
            near=near,
            far=far,
        )

    def _service(
        self, seen: NetworkSpec, guest: str, public: str, asked: Asked
    ) -> tuple[Port | None, Port | None]:
        """What answers on the port: asked from the gateway, and from an address beyond it."""
        own = {each.address for each in _addresses(version_of(guest))}
        gateway, guest = host_side(seen).gateway, to_host(seen, guest)
        if gateway not in own or not asked.port or asked.protocol == "icmp":
            return None, None
        probe = probes.tcp_port if asked.protocol == "tcp" else probes.udp_port
        with ThreadPoolExecutor(1) as probing:
            near = probing.submit(probe, guest, asked.port, gateway)
            far: Port | None = None
            if public in own and asked.protocol == "tcp":
                far = probe(guest, asked.port, public)
            return near.result(), far

    def _guest(
        self, spec: NetworkSpec, reservation: ReservationSpec, version: Version
    ) -> GuestFacts:
        state = self.vm_state(reservation.port) if reservation.port else None
        port, bridge = looking.interface(reservation.port), looking.interface(spec.bridge)
        dhcp = self._dhcp(spec)
        mac, link_mac = self._who_has(spec, reservation, version)
        return GuestFacts(
            is_vm=state is not None,
            vm=state or "",
            port=self._link(reservation.port, version),
            on_bridge=bool(port and bridge and port.master == bridge.index),
            missing=lookups.missing(lookups.of_guest(spec, reservation, version)),
            dhcp=dhcp.pid() is not None,
            lease=_until(dhcp.lease_until(reservation.address, reservation.mac)),
            mac=mac,
            link_mac=link_mac,
        )

    def _dhcp(self, spec: NetworkSpec) -> Dhcp:
        if spec.transit:
            return dhcp_of(self.paths.routers, spec.bridge)
        return Dhcp(self.paths.run / "dnsmasq")

    def _who_has(
        self, spec: NetworkSpec, guest: ReservationSpec, version: Version
    ) -> tuple[str, str]:
        """Who answers for the address, and for the one on the link, asked by the gateway."""

        def ask() -> tuple[str, str]:
            own = looking.interface(spec.bridge)
            if own is None:
                return "", ""
            if version == 4:
                return probes.who_has(spec.bridge, own.mac, spec.gateway, guest.address), ""
            found = probes.who_has6(spec.bridge, own.mac, guest.address6)
            on_link = str(interface_address(LINK_LOCAL, guest.mac))
            return found, found or probes.who_has6(spec.bridge, own.mac, on_link)

        if not spec.transit:
            return ask()
        namespace = namespace_of(self.paths.routers, spec.bridge)
        return namespaces.within(namespace, ask) if namespaces.exists(namespace) else ("", "")

    def _amiss(self, spec: NetworkSpec) -> tuple[str, ...]:
        if not spec.transit:
            return ()
        with closing(Links()) as links:
            return amiss(spec, Routers(self.paths.routers, links).observe(spec))

    def _outbound(self, spec: NetworkSpec, guest: ReservationSpec) -> Outbound:
        address = to_host(spec, guest.address)
        flows = flowtable.of_guest(address)
        own = {each.address for each in hostfacts.addresses()}
        resolvers = hostfacts.resolvers(self.resolv_files)
        return Outbound(
            open_now=len(flows),
            replied=sum(flowtable.is_replied(each) for each in flows),
            begun=flowtable.begun_by(flows, address),
            resolvers=tuple(each for each in resolvers if each not in own),
        )

    def _link(self, name: str, version: Version) -> Link | None:
        seen = looking.interface(name)
        if seen is None:
            return None
        sysctls = Sysctls(self.paths.run / "forwarding.json")
        forwards = sysctls.forwards(name) if version == 4 else sysctls.is_router6()
        return Link(name=name, up=seen.up, connected=seen.connected, forwards=forwards)

    def _uplink_of(self, address: str) -> str:
        held = _addresses(version_of(address))
        holders = (each.interface for each in held if each.address == address)
        return next(holders, next(iter(self.uplinks or hostfacts.uplinks()), ""))

    def _is_skeleton(self) -> bool:
        with closing(Firewall(self.paths.run / "nftables.json")) as firewall:
            return firewall.is_skeleton()

    def _is_taken(self, forward: ForwardSpec) -> bool:
        own = {each.address for each in _addresses(version_of(forward.public_address))}
        return preflight.hidden_by(forward, own, hostfacts.listeners()) is not None


_FORWARDING = {4: "net.ipv4.conf.{}.forwarding", 6: "net.ipv6.conf.all.forwarding"}


def _packet(version: Version, **fields: Any) -> Packet:
    return Packet(**{"protocol": "tcp"} | fields, family="ipv6" if version == 6 else "ipv4")


def _addresses(version: Version) -> list[hostfacts.Address]:
    return hostfacts.addresses() if version == 4 else hostfacts.addresses6()


def _any(version: Version) -> str:
    return "::" if version == 6 else ""


def _one_port(forward: ForwardSpec, port: int) -> ForwardSpec:
    """The forward as far as one of its ports is concerned: the first unless another is asked. All
    ports of a whole address keep their numbers."""
    if forward.protocol == "all":
        return replace(forward, public_port=port, port=port)
    at = port - forward.public_port
    if forward.ports <= 1 or not 0 <= at < forward.ports:
        at = 0
    public_port, target = forward.public_port + at, forward.port + at
    return replace(forward, public_port=public_port, port=target, ports=1)


def _until(expiry: float | None) -> str:
    if expiry is None:
        return ""
    return f"{datetime.fromtimestamp(expiry, UTC):%Y-%m-%d %H:%M} UTC" if expiry else "for ever"
