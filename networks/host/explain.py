"""Why something is (not) reachable: facts of a host -> steps in the order of the packet. Pure.

The first broken step is the answer. What comes after it is told all the same, but may be broken
only because of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from networks.host.chains import Judged
from networks.host.spec import ForwardSpec, NetworkSpec, ReservationSpec

Verdict = Literal["ok", "broken", "unknown"]
"""`unknown` also says "this may be a reason, but nobody can tell for sure"."""

Port = Literal["open", "refused", "silent"]

_LISTED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """By ids. `forward` with its `protocol`, or `reservation` for the way out of a guest.
    `public_port`
    is the one of several that is asked about, `source` who tries, if that is known."""

    network: str
    forward: str = ""
    protocol: str = "tcp"
    public_port: int = 0
    source: str = ""
    reservation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing on the way. `key` is for programs; `detail` may quote the host's own rules and is
    for its operators alone. `mend` names what the panel can do about it itself."""

    key: str
    title: str
    verdict: Verdict
    found: str
    wanted: str = ""
    remedy: str = ""
    detail: str = ""
    mend: Literal["", "start_vm", "repair", "resume"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An interface; `connected` is up with a carrier."""

    name: str
    up: bool
    connected: bool
    forwards: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestFacts:
    """What was seen of the guest's side. `vm` is its power state, empty when nobody could tell.

    `lease` says in words until when it has one, `mac` who answers for its address. `tied` are the
    elements of its port that are missing. `dhcp` is whether the DHCP service runs.
    """

    is_vm: bool = False
    vm: str = ""
    port: Link | None = None
    on_bridge: bool = False
    missing: tuple[str, ...] = ()
    dhcp: bool = False
    lease: str = ""
    mac: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What was seen of the host. `gateways` are the interfaces with a default route, `holds` the
    addresses by interface."""

    skeleton: bool
    uplinks: tuple[Link, ...]
    gateways: tuple[str, ...]
    holds: tuple[tuple[str, str], ...]
    bridge: Link | None
    chains: tuple[Judged, ...] = ()
    unread: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    """Elements of the network as a whole that are not in the kernel."""


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
    """What was seen of a guest's own connections, and of name servers for it."""

    open_now: int = 0
    replied: int = 0
    resolvers: tuple[str, ...] = ()


def first_broken(steps: Iterable[Step]) -> Step | None:
    """The answer to "why not?"; None when nothing was found."""
    return next((step for step in steps if step.verdict == "broken"), None)


def untold(what: str) -> tuple[Step, ...]:
    """What a host says that was never told of it."""
    return (
        _broken(
            "told",
            "The host knows of it",
            f"The panel has not told this host of {what}, or has taken it back.",
            wanted=f"{what.capitalize()} among what the host was told.",
            remedy="See whether its last change failed, whether it is paused, or press Repair.",
            mend="repair",
        ),
    )


def ipv6_untold() -> tuple[Step, ...]:
    """What is said of a forward of IPv6, whose way is not looked at."""
    found = "The host has the forward. The way of IPv6 packets is not looked at."
    return (_unknown("family", "Its packets are IPv4", found),)


def explain_forward(
    spec: NetworkSpec,
    reservation: ReservationSpec,
    forward: ForwardSpec,
    source: str,
    facts: tuple[HostFacts, ForwardFacts, GuestFacts],
) -> tuple[Step, ...]:
    """The way of a packet to a forward, from outside to the guest and back."""
    host, own, guest = facts
    return (
        _address(forward, host),
        _listener(forward, own),
        _rules(host),
        _element(forward, own),
        _sources(forward, source),
        _limits(forward, own),
        *_routing(spec, host),
        *_guest(spec, reservation, guest),
        _service(forward, reservation, own),
        _return(spec, own),
    )


def explain_outbound(
    spec: NetworkSpec,
    reservation: ReservationSpec,
    facts: tuple[HostFacts, Outbound, GuestFacts],
) -> tuple[Step, ...]:
    """The way of a guest's packet to the outside and back."""
    host, out, guest = facts
    return (
        _mode(spec),
        *_guest(spec, reservation, guest),
        _rules(host),
        _nat(spec, host),
        *_routing(spec, host),
        _uplink(host),
        _source_address(spec, host),
        _resolvers(out),
        _answers(out),
    )


def _address(forward: ForwardSpec, host: HostFacts) -> Step:
    title, address = "The public address is on an uplink", forward.public_address
    names = [name for name, held in host.holds if held == address]
    uplinks = {link.name: link for link in host.uplinks}
    wanted = f"{address} on {' or '.join(uplinks) or 'an uplink'}."
    if not names:
        remedy = f"Give it back: ip address add {address}/32 dev {next(iter(uplinks), 'UPLINK')}."
        found = f"No interface of the host has {address}."
        return _broken("address", title, found, wanted=wanted, remedy=remedy)
    link = uplinks.get(names[0])
    if link is None:
        found = f"{address} is on {names[0]}, which is not an uplink."
        remedy = "Name this interface in `uplinks` of the host's configuration."
        return _broken("address", title, found, wanted=wanted, remedy=remedy)
    if not link.connected:
        found = f"{address} is on {link.name}, which is {'unplugged' if link.up else 'off'}."
        remedy = "Plug it in." if link.up else f"Switch it on: ip link set {link.name} up."
        return _broken("address", title, found, wanted=f"{link.name} connected.", remedy=remedy)
    return _ok("address", title, f"{address} is on {link.name}.")


def _listener(forward: ForwardSpec, own: ForwardFacts) -> Step:
    title = "No service of the host stands before it"
    place = f"{forward.protocol.upper()} port {forward.public_port}"
    if not own.listener:
        return _ok("listener", title, f"The host itself does not listen on {place}.")
    if own.missing:
        return _broken(
            "listener",
            title,
            f"The host itself listens on {place}, so the forward was not set up.",
            wanted="A port that no service of the host uses.",
            remedy="Choose another public port, or stop that service and press Repair.",
        )
    return _ok("listener", title, f"The host listens on {place} too, but the forward goes first.")


def _rules(host: HostFacts) -> Step:
    title = "The firewall rules are loaded"
    if host.skeleton:
        return _ok("rules", title, "The tables inet kvmweb and bridge kvmweb are as they should.")
    return _broken(
        "rules",
        title,
        "The tables of kvmweb are missing or were changed by somebody else.",
        wanted="Both tables as kvmweb loads them.",
        remedy="Press Repair, and see that the network worker of the host runs.",
        mend="repair",
    )


def _element(forward: ForwardSpec, own: ForwardFacts) -> Step:
    title = "The port is led to the guest"
    target = f"{forward.address}:{forward.port}"
    if own.other:
        return _broken(
            "dnat",
            title,
            f"The port leads to {own.other}.",
            wanted=f"It leads to {target}.",
            remedy="Press Repair.",
            mend="repair",
        )
    if own.missing:
        return _broken(
            "dnat",
            title,
            f"The rule is not in the kernel: {_listed(own.missing)}.",
            wanted=f"{forward.public_address}:{forward.public_port} leads to {target}.",
            remedy="Press Repair.",
            mend="repair",
        )
    found = f"{forward.public_address}:{forward.public_port} leads to {target}."
    return _ok("dnat", title, found)


def _sources(forward: ForwardSpec, source: str) -> Step:
    title = "The source is allowed"
    if not forward.sources:
        return _ok("sources", title, "Anyone may use it.")
    allowed = ", ".join(forward.sources)
    if not source:
        return _unknown("sources", title, f"Only {allowed} may use it.")
    if any(IPv4Address(source) in IPv4Network(each) for each in forward.sources):
        return _ok("sources", title, f"{source} is among {allowed}.")
    return _broken(
        "sources",
        title,
        f"{source} is not among {allowed}.",
        wanted="A source that the forward allows.",
        remedy="Add this address to the sources the forward allows.",
    )


def _limits(forward: ForwardSpec, own: ForwardFacts) -> Step:
    title = "No limit is reached"
    if forward.connections and own.open_now >= forward.connections:
        return _broken(
            "limits",
            title,
            f"{own.open_now} connections are open.",
            wanted=f"Fewer than {forward.connections} at the same time.",
            remedy="End some of them, or raise the limit.",
        )
    if forward.rate:
        found = f"New connections beyond {forward.rate} per second are refused."
        return _unknown("limits", title, found)
    most = f" of at most {forward.connections}" if forward.connections else ""
    return _ok("limits", title, f"{own.open_now} connections{most} are open.")


def _routing(spec: NetworkSpec, host: HostFacts) -> Iterator[Step]:
    """What lies between an uplink and the bridge."""
    yield _bridge(spec, host)
    yield _forwarding(host)
    for judged in host.chains:
        yield _chain(judged)
    for what in host.unread:
        found = f"The host has {what}: whether they drop anything cannot be told."
        yield _unknown("chain", "Other firewalls let it through", found)
    if not host.chains and not host.unread:
        found = "No other firewall filters forwarded packets."
        yield _ok("chain", "Other firewalls let it through", found)


def _forwarding(host: HostFacts) -> Step:
    title = "The host passes packets on"
    links = [*host.uplinks, *([host.bridge] if host.bridge else [])]
    closed = [link.name for link in links if not link.forwards]
    if closed:
        return _broken(
            "forwarding",
            title,
            f"Forwarding is off on {', '.join(closed)}.",
            wanted="net.ipv4.conf.….forwarding = 1 on the uplinks and the bridge.",
            remedy=f"Press Repair, or: sysctl net.ipv4.conf.{closed[0]}.forwarding=1.",
            mend="repair",
        )
    names = ", ".join(link.name for link in links)
    return _ok("forwarding", title, f"Forwarding is on for {names or 'no interface'}.")


def _chain(judged: Judged) -> Step:
    key, title = f"chain:{judged.label}", f"Chain {judged.label} lets it through"
    if judged.passes:
        return _ok(key, title, "It accepts the packet and its answer.")
    remedy = chain_remedy(judged.label)
    if judged.drops:
        return _broken(
            key,
            title,
            "This chain of another firewall drops the packet, or its answer.",
            wanted="An accept for kw* before whatever drops.",
            remedy=remedy,
            detail=judged.why,
        )
    found = "A rule there may drop it: it looks at what cannot be known beforehand."
    return _unknown(key, title, found, remedy=remedy, detail=judged.why)


def chain_remedy(label: str) -> str:
    """How an operator has a foreign chain let our networks through."""
    family, table, name = (*label.split(), "", "")[:3]
    if family in {"ip", "iptables-legacy"} and name == "FORWARD":
        program = "iptables-legacy" if family == "iptables-legacy" else "iptables"
        rule = f"{program} -t {table} -I FORWARD {{}} kw+ -j ACCEPT"
        return (
            f"Run on the host: {rule.format('-i')}; {rule.format('-o')}"
            " (with docker: in the chain DOCKER-USER)."
        )
    if table == "firewalld":
        return "Run on the host: firewall-cmd --permanent --zone=trusted --add-interface=kw+."
    rule = f"nft insert rule {label} {{}} '\"kw*\"' accept"
    return f"Run on the host: {rule.format('iifname')}; {rule.format('oifname')}."


def _bridge(spec: NetworkSpec, host: HostFacts) -> Step:
    title = "The bridge of the network is there"
    held = (spec.bridge, spec.gateway) in host.holds
    if host.bridge is None:
        found = f"There is no bridge {spec.bridge}."
    elif not host.bridge.up:
        found = f"Bridge {spec.bridge} is off."
    elif not held:
        found = f"Bridge {spec.bridge} does not have the address {spec.gateway}."
    else:
        return _ok("bridge", title, f"{spec.bridge} is on and has {spec.gateway}.")
    wanted = f"Bridge {spec.bridge}, on, with {spec.gateway}."
    return _broken("bridge", title, found, wanted=wanted, remedy="Press Repair.", mend="repair")


def _guest(spec: NetworkSpec, reservation: ReservationSpec, guest: GuestFacts) -> Iterator[Step]:
    yield _vm(reservation, guest)
    yield _port(spec, reservation, guest)
    yield _tied(reservation, guest)
    yield _dhcp(reservation, guest)
    yield _arp(reservation, guest)


def _vm(reservation: ReservationSpec, guest: GuestFacts) -> Step:
    title = "The VM runs"
    if not guest.is_vm:
        found = f"No VM of kvmweb uses {reservation.address}; whatever does is not looked at."
        return _ok("vm", title, found)
    if not guest.vm:
        return _unknown("vm", title, "libvirt does not say whether the VM runs.")
    if guest.vm == "running":
        return _ok("vm", title, f"{reservation.hostname} is running.")
    return _broken(
        "vm",
        title,
        f"{reservation.hostname} is {guest.vm}.",
        wanted="A running VM.",
        remedy="Start the VM.",
        mend="start_vm",
    )


def _port(spec: NetworkSpec, reservation: ReservationSpec, guest: GuestFacts) -> Step:
    title, name = "The guest is plugged in", reservation.port
    mend: Literal["", "repair"] = "repair"
    if not name:
        return _ok("port", title, "This address has no guest port of kvmweb.")
    if guest.port is None:
        found = f"There is no guest port {name}."
        remedy, mend = "Stop the VM and start it again.", ""
    elif not guest.port.up:
        found, remedy = f"Guest port {name} is off.", f"Run on the host: ip link set {name} up."
    elif not guest.on_bridge:
        found, remedy = f"Guest port {name} is not plugged into {spec.bridge}.", "Press Repair."
    elif not guest.port.connected:
        found = f"Guest port {name} has no carrier: the guest's link is down."
        remedy, mend = "Set the VM's link up, or start its network card inside the guest.", ""
    else:
        return _ok("port", title, f"{name} is on and plugged into {spec.bridge}.")
    wanted = f"{name}, on, plugged into {spec.bridge}."
    return _broken("port", title, found, wanted=wanted, remedy=remedy, mend=mend)


def _tied(reservation: ReservationSpec, guest: GuestFacts) -> Step:
    title = "The guest may use its address"
    if guest.missing:
        return _broken(
            "tied",
            title,
            f"The host does not let {reservation.mac} use {reservation.address}: not in the kernel:"
            f" {_listed(guest.missing)}.",
            wanted="The guest's port tied to its own MAC and address.",
            remedy="Press Repair.",
            mend="repair",
        )
    return _ok("tied", title, f"{reservation.mac} may use {reservation.address}.")


def _dhcp(reservation: ReservationSpec, guest: GuestFacts) -> Step:
    """A guest that has its address by other means needs no lease."""
    title = "The guest got its address"
    if guest.lease:
        return _ok("lease", title, f"{reservation.address} is leased until {guest.lease}.")
    if not guest.dhcp and not guest.mac:
        return _broken(
            "dhcp",
            title,
            "The DHCP service of the host does not run, and the guest has no lease.",
            wanted="dnsmasq running.",
            remedy="Press Repair, and see that the network worker of the host runs.",
            mend="repair",
        )
    if guest.mac:
        found = "It has no lease, yet answers: its address is set inside the guest."
        return _ok("lease", title, found)
    return _broken(
        "lease",
        title,
        f"Nobody with the MAC {reservation.mac} has asked for {reservation.address} yet.",
        wanted="A lease, or the address set inside the guest.",
        remedy="See on its console whether the guest has started and asks for an address by DHCP.",
    )


def _arp(reservation: ReservationSpec, guest: GuestFacts) -> Step:
    title = "The guest answers for its address"
    if not guest.mac:
        return _broken(
            "arp",
            title,
            f"Nobody answers an ARP request for {reservation.address}.",
            wanted=f"An answer from {reservation.mac}.",
            remedy="See on its console whether the guest is up and its network card has the"
            " address.",
        )
    if guest.mac != reservation.mac.lower():
        return _broken(
            "arp",
            title,
            f"{guest.mac} answers for {reservation.address}.",
            wanted=f"An answer from {reservation.mac}.",
            remedy="Give the machine with that MAC another address.",
        )
    return _ok("arp", title, f"{guest.mac} answers.")


def _service(forward: ForwardSpec, reservation: ReservationSpec, own: ForwardFacts) -> Step:
    title = "Something in the guest answers on the port"
    place = f"{forward.protocol.upper()} port {forward.port}"
    if forward.protocol == "all":
        return _unknown("service", title, "The whole address leads to the guest: name a port.")
    if own.near == "open":
        return _ok("service", title, f"{reservation.hostname} answers on {place}.")
    if own.near == "refused":
        return _broken(
            "service",
            title,
            f"Nothing in the guest listens on {place} of {reservation.address}.",
            wanted=f"A program that listens on {place}, on all addresses or this one.",
            remedy="Start the service in the guest, or lead the forward to another port.",
        )
    if forward.protocol == "udp":
        found = "The guest refuses no datagram on the port. UDP itself says nothing more."
        return _unknown("service", title, found)
    if own.near is None:
        return _unknown("service", title, "It was not tried.")
    return _broken(
        "service",
        title,
        f"The guest does not answer on {place}, not even with a refusal.",
        wanted="An answer.",
        remedy="See whether a firewall inside the guest drops this port.",
    )


def _return(spec: NetworkSpec, own: ForwardFacts) -> Step:
    title = "Answers find their way back"
    wanted = f"A default route in the guest that leads to {spec.gateway}."
    if own.far == "open":
        return _ok("return", title, "The guest also answers addresses outside of its network.")
    if own.near == "open" and own.far is not None:
        return _broken(
            "return",
            title,
            "The guest answers the host on its own network, but nobody beyond it.",
            wanted=wanted,
            remedy="Set the guest's default route, or have its own firewall let in others than its"
            " neighbours.",
        )
    if own.replied:
        found = f"{own.replied} of {own.open_now} connections through it have had an answer."
        return _ok("return", title, found)
    if own.open_now:
        found = f"None of the {own.open_now} connections through it had an answer yet."
        return _unknown("return", title, found, wanted=wanted)
    return _unknown("return", title, "No connection went through it yet.", wanted=wanted)


def _mode(spec: NetworkSpec) -> Step:
    title = "The network leads outside"
    if spec.mode == "isolated":
        return _broken(
            "mode",
            title,
            "The network is isolated: its guests reach each other only.",
            wanted="A network with a way out.",
            remedy="Use a NAT network for this VM. Isolation is what this network is for.",
        )
    if spec.egress is not None:
        return _ok("mode", title, f"Guests may go where the network lists: {_places(spec)}.")
    return _ok("mode", title, "The network has a way out.")


def _places(spec: NetworkSpec) -> str:
    places = []
    for rule in spec.egress or ():
        ports = "" if not rule.last_port else f" {rule.first_port}-{rule.last_port}"
        places.append(f"{rule.protocol}{ports} to {rule.cidr}")
    return _listed(tuple(places)) or "nothing at all"


def _nat(spec: NetworkSpec, host: HostFacts) -> Step:
    title = "The network may go out, and as whom"
    if host.missing:
        return _broken(
            "nat",
            title,
            f"Rules of the network are not in the kernel: {_listed(host.missing)}.",
            wanted="The network's way out among the rules.",
            remedy="Press Repair.",
            mend="repair",
        )
    if spec.mode == "routed":
        return _ok("nat", title, "Guests go out as themselves.")
    sources = ", ".join(_sources_of(spec)) or "the host"
    return _ok("nat", title, f"Guests go out as {sources}.")


def _sources_of(spec: NetworkSpec) -> tuple[str, ...]:
    """The public addresses guests are seen with; none where that is the host's own or theirs."""
    if spec.mode != "nat":
        return ()
    return spec.source_pool or ((spec.source_address,) if spec.source_address else ())


def _uplink(host: HostFacts) -> Step:
    title = "The host itself leads outside"
    links = [link for link in host.uplinks if link.name in host.gateways]
    if not links:
        return _broken(
            "uplink",
            title,
            "The host has no default route through an uplink.",
            wanted="A default route.",
            remedy="Set the host's default route.",
        )
    if not any(link.connected for link in links):
        names = ", ".join(link.name for link in links)
        found = f"{names} is not connected."
        wanted = "An uplink that is on and plugged in."
        return _broken("uplink", title, found, wanted=wanted, remedy="Switch the uplink on.")
    return _ok("uplink", title, f"The default route leads through {links[0].name}.")


def _source_address(spec: NetworkSpec, host: HostFacts) -> Step:
    title = "The network's public address is on the host"
    sources = _sources_of(spec)
    if not sources:
        own = "addresses of their own" if spec.mode == "routed" else "the address of the host"
        return _ok("address", title, f"Guests go out with {own}.")
    held = {address for _, address in host.holds}
    address = next((source for source in sources if source not in held), "")
    if not address:
        return _ok("address", title, f"The host has {', '.join(sources)}.")
    return _broken(
        "address",
        title,
        f"Guests go out as {address}, which no interface of the host has: answers are lost.",
        wanted=f"{address} on an uplink.",
        remedy=f"Give it back: ip address add {address}/32 dev"
        f" {next((link.name for link in host.uplinks), 'UPLINK')}.",
    )


def _resolvers(out: Outbound) -> Step:
    title = "Guests are told a name server"
    if out.resolvers:
        return _ok("dns", title, f"Guests are told {', '.join(out.resolvers)}.")
    return _unknown(
        "dns",
        title,
        "The host knows no name server that guests could use: names do not resolve in guests.",
        wanted="A name server in the host's resolv.conf that is not on the host itself.",
    )


def _answers(out: Outbound) -> Step:
    title = "The outside answers"
    if out.replied:
        found = f"{out.replied} of {out.open_now} connections of the guest have had an answer."
        return _ok("answers", title, found)
    if out.open_now:
        return _broken(
            "answers",
            title,
            f"None of the {out.open_now} connections the guest opened has had an answer.",
            wanted="Answers to what the guest sends.",
            remedy="The packets leave this host: see the provider's firewall, and whether the"
            " outside leads answers to this host's address back here.",
        )
    found = "The guest has no connection to the outside now. Let it try, then ask again."
    return _unknown("answers", title, found)


def _ok(key: str, title: str, found: str) -> Step:
    return Step(key=key, title=title, verdict="ok", found=found)


def _unknown(key: str, title: str, found: str, **more: str) -> Step:
    return Step(key=key, title=title, verdict="unknown", found=found, **more)  # type: ignore[arg-type]


def _broken(
    key: str,
    title: str,
    found: str,
    *,
    wanted: str,
    remedy: str,
    detail: str = "",
    mend: Literal["", "start_vm", "repair", "resume"] = "",
) -> Step:
    return Step(
        key=key,
        title=title,
        verdict="broken",
        found=found,
        wanted=wanted,
        remedy=remedy,
        detail=detail,
        mend=mend,
    )


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
