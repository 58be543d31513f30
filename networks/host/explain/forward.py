"""The way of a packet to a forward, from outside to the guest and back."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from networks.host.explain.between import routing, rules
from networks.host.explain.guest import guest_steps
from networks.host.explain.seen import ForwardFacts, GuestFacts, HostFacts
from networks.host.explain.steps import Step, broken, listed, ok, unknown
from networks.host.spec import ForwardSpec, NetworkSpec, ReservationSpec


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
        rules(host),
        _element(forward, own),
        _sources(forward, source),
        _limits(forward, own),
        *routing(spec, host),
        *guest_steps(spec, reservation, guest),
        _service(forward, reservation, own),
        _return(spec, own),
    )


def _address(forward: ForwardSpec, host: HostFacts) -> Step:
    title, address = "The public address is on an uplink", forward.public_address
    names = [name for name, held in host.holds if held == address]
    uplinks = {link.name: link for link in host.uplinks}
    wanted = f"{address} on {' or '.join(uplinks) or 'an uplink'}."
    if not names:
        remedy = f"Give it back: ip address add {address}/32 dev {next(iter(uplinks), 'UPLINK')}."
        found = f"No interface of the host has {address}."
        return broken("address", title, found, wanted=wanted, remedy=remedy)
    link = uplinks.get(names[0])
    if link is None:
        found = f"{address} is on {names[0]}, which is not an uplink."
        remedy = "Name this interface in `uplinks` of the host's configuration."
        return broken("address", title, found, wanted=wanted, remedy=remedy)
    if not link.connected:
        found = f"{address} is on {link.name}, which is {'unplugged' if link.up else 'off'}."
        remedy = "Plug it in." if link.up else f"Switch it on: ip link set {link.name} up."
        return broken("address", title, found, wanted=f"{link.name} connected.", remedy=remedy)
    return ok("address", title, f"{address} is on {link.name}.")


def _listener(forward: ForwardSpec, own: ForwardFacts) -> Step:
    title = "No service of the host stands before it"
    place = f"{forward.protocol.upper()} port {forward.public_port}"
    if not own.listener:
        return ok("listener", title, f"The host itself does not listen on {place}.")
    if own.missing:
        return broken(
            "listener",
            title,
            f"The host itself listens on {place}, so the forward was not set up.",
            wanted="A port that no service of the host uses.",
            remedy="Choose another public port, or stop that service and press Repair.",
        )
    return ok("listener", title, f"The host listens on {place} too, but the forward goes first.")


def _element(forward: ForwardSpec, own: ForwardFacts) -> Step:
    title = "The port is led to the guest"
    target = f"{forward.address}:{forward.port}"
    if own.other:
        return broken(
            "dnat",
            title,
            "The port leads elsewhere.",
            wanted=f"It leads to {target}.",
            remedy="Press Repair.",
            detail=f"It leads to {own.other}.",
            mend="repair",
        )
    if own.missing:
        return broken(
            "dnat",
            title,
            f"The rule is not in the kernel: {listed(own.missing)}.",
            wanted=f"{forward.public_address}:{forward.public_port} leads to {target}.",
            remedy="Press Repair.",
            mend="repair",
        )
    found = f"{forward.public_address}:{forward.public_port} leads to {target}."
    return ok("dnat", title, found)


def _sources(forward: ForwardSpec, source: str) -> Step:
    title = "The source is allowed"
    if not forward.sources:
        return ok("sources", title, "Anyone may use it.")
    allowed = ", ".join(forward.sources)
    if not source:
        return unknown("sources", title, f"Only {allowed} may use it.")
    if any(IPv4Address(source) in IPv4Network(each) for each in forward.sources):
        return ok("sources", title, f"{source} is among {allowed}.")
    return broken(
        "sources",
        title,
        f"{source} is not among {allowed}.",
        wanted="A source that the forward allows.",
        remedy="Add this address to the sources the forward allows.",
    )


def _limits(forward: ForwardSpec, own: ForwardFacts) -> Step:
    title = "No limit is reached"
    if forward.connections and own.open_now >= forward.connections:
        return broken(
            "limits",
            title,
            f"{own.open_now} connections are open.",
            wanted=f"Fewer than {forward.connections} at the same time.",
            remedy="End some of them, or raise the limit.",
        )
    if forward.rate:
        found = f"New connections beyond {forward.rate} per second are refused."
        return unknown("limits", title, found)
    most = f" of at most {forward.connections}" if forward.connections else ""
    return ok("limits", title, f"{own.open_now} connections{most} are open.")


def _service(forward: ForwardSpec, reservation: ReservationSpec, own: ForwardFacts) -> Step:
    title = "Something in the guest answers on the port"
    place = f"{forward.protocol.upper()} port {forward.port}"
    if forward.protocol == "all":
        return unknown("service", title, "The whole address leads to the guest: name a port.")
    if own.near == "open":
        return ok("service", title, f"{reservation.hostname} answers on {place}.")
    if own.near == "refused":
        return broken(
            "service",
            title,
            f"Nothing in the guest listens on {place} of {reservation.address}.",
            wanted=f"A program that listens on {place}, on all addresses or this one.",
            remedy="Start the service in the guest, or lead the forward to another port.",
        )
    if forward.protocol == "udp":
        found = "The guest refuses no datagram on the port. UDP itself says nothing more."
        return unknown("service", title, found)
    if own.near is None:
        return unknown("service", title, "It was not tried.")
    return broken(
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
        return ok("return", title, "The guest also answers addresses outside of its network.")
    if own.near == "open" and own.far is not None:
        return broken(
            "return",
            title,
            "The guest answers the host on its own network, but nobody beyond it.",
            wanted=wanted,
            remedy="Set the guest's default route, or have its own firewall let in others than its"
            " neighbours.",
        )
    if own.replied:
        found = f"{own.replied} of {own.open_now} connections through it have had an answer."
        return ok("return", title, found)
    if own.open_now:
        found = f"None of the {own.open_now} connections through it had an answer yet."
        return unknown("return", title, found, wanted=wanted)
    return unknown("return", title, "No connection went through it yet.", wanted=wanted)
