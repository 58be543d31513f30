"""The way of a packet to a forward, from outside to the guest and back."""

from __future__ import annotations

from ipaddress import ip_address

from networks.host.contents import allowed_sources
from networks.host.explain.between import routing, rules
from networks.host.explain.guest import guest_steps
from networks.host.explain.lists import Asked, opened
from networks.host.explain.seen import ForwardFacts, GuestFacts, HostFacts
from networks.host.explain.service import returning, service
from networks.host.explain.steps import Step, broken, listed, ok, unknown
from networks.host.spec import ForwardSpec, NetworkSpec, ReservationSpec


def explain_forward(
    spec: NetworkSpec,
    reservation: ReservationSpec,
    forward: ForwardSpec,
    asked: Asked,
    facts: tuple[HostFacts, ForwardFacts, GuestFacts],
) -> tuple[Step, ...]:
    """The way of a packet to a forward, from outside to the guest and back."""
    host, own, guest = facts
    protocol = asked.protocol if forward.protocol == "all" else forward.protocol
    return (
        _address(forward, host),
        _listener(forward, own),
        rules(host),
        _element(forward, own),
        _sources(spec, forward, asked.address),
        _limits(forward, own),
        *([opened(spec, reservation, asked)] if forward.protocol == "all" else []),
        *routing(spec, host),
        *guest_steps(spec, reservation, guest),
        service(reservation, protocol, asked.port, own),
        returning(spec, own),
    )


def _address(forward: ForwardSpec, host: HostFacts) -> Step:
    title, address = "The public address is on an uplink", forward.public_address
    names = [name for name, held in host.holds if held == address]
    uplinks = {link.name: link for link in host.uplinks}
    wanted = f"{address} on {' or '.join(uplinks) or 'an uplink'}."
    if not names:
        bits = 128 if ":" in address else 32
        remedy = (
            f"Give it back: ip address add {address}/{bits} dev {next(iter(uplinks), 'UPLINK')}."
        )
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
    public = endpoint(forward.public_address, forward.public_port)
    target = endpoint(forward.address, forward.port)
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
            wanted=f"{public} leads to {target}.",
            remedy="Press Repair.",
            mend="repair",
        )
    found = f"{public} leads to {target}."
    return ok("dnat", title, found)


def _sources(spec: NetworkSpec, forward: ForwardSpec, source: str) -> Step:
    title = "The source is allowed"
    if not forward.sources:
        return ok("sources", title, "Anyone may use it.")
    allowed = ", ".join(forward.sources)
    if not source:
        return unknown("sources", title, f"Only {allowed} may use it.")
    if any(ip_address(source) in each for each in allowed_sources(spec, forward)):
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


def endpoint(address: str, port: int) -> str:
    """An address and port, as they are written (RFC 3986, section 3.2.2)."""
    shown = f"[{address}]" if ":" in address else address
    return f"{shown}:{port}" if port else shown
