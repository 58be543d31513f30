"""What a question "why?" is about, found among what this host was told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_address

from kvmweb.core.errors import Invalid
from networks.host.explain.steps import Case, Step, untold
from networks.host.explain.ways import no_ipv6, version_of
from networks.host.facts import Looker
from networks.host.spec import ForwardSpec, NetworkSpec, ReservationSpec

Specs = Callable[[str], NetworkSpec | None]


def explain(looker: Looker, specs: Specs, case: Case) -> tuple[Step, ...]:
    """The steps of the case; `specs` is what the host has stored of a network."""
    _refuse_no_address(case.source, "source")
    _refuse_no_address(case.destination, "destination")
    spec = _told(specs, case.network)
    if spec is None:
        return untold("the network")
    if case.peer:
        other = _told(specs, case.peer)
        return untold("the other network") if other is None else looker.peers(spec, other)
    if case.host_name:
        return _of_host_name(looker, spec, case)
    if case.forward:
        return _of_forward(looker, spec, case)
    return _of_guest(looker, spec, case)


def _of_host_name(looker: Looker, spec: NetworkSpec, case: Case) -> tuple[Step, ...]:
    name = next((each for each in spec.host_names if each.id == case.host_name), None)
    if name is None:
        return untold("the host name")
    targets = (r for r in spec.reservations if name.address in (r.address, r.address6))
    guest = next(targets, None)
    return untold("its target") if guest is None else looker.host_name(spec, guest, name)


def host_name_case(specs: Iterable[NetworkSpec], wanted: str) -> Case | None:
    """The case of a host name, as somebody on the host's command line writes it."""
    for spec in specs:
        for name in spec.host_names:
            if name.name == wanted.lower():
                return Case(network=spec.subject, host_name=name.id)
    return None


def _of_guest(looker: Looker, spec: NetworkSpec, case: Case) -> tuple[Step, ...]:
    guest = _reservation(spec, case.reservation)
    if guest is None:
        return untold("the address")
    if spec.mode == "bridged":
        return looker.bridged(spec, guest, case)
    six = case.version == 6 or version_of(case.destination, case.source) == 6
    if six and (spec.ipv6 == "off" or not guest.address6):
        return no_ipv6()
    if case.way == "in":
        return looker.inbound(spec, guest, case)
    return looker.outbound(spec, guest, case)


def _of_forward(looker: Looker, spec: NetworkSpec, case: Case) -> tuple[Step, ...]:
    forward = next((f for f in spec.forwards if _is_wanted(f, case)), None)
    if forward is None:
        return untold("the forward")
    _refuse_other_family(forward, case.source)
    targets = (r for r in spec.reservations if forward.address in (r.address, r.address6))
    reservation = next(targets, None)
    if reservation is None:
        return untold("the forward's target")
    return looker.forward(spec, reservation, forward, case)


def forward_case(
    specs: Iterable[NetworkSpec], address: str, protocol: str, port: int, source: str
) -> Case | None:
    """The case of a public endpoint, as somebody on the host's command line names it."""
    for spec in specs:
        for forward in spec.forwards:
            last = forward.public_port + forward.ports
            whole = forward.protocol == "all"
            here = forward.protocol == protocol and forward.public_port <= port < last
            if forward.public_address == address and (whole or here):
                return Case(
                    network=spec.subject,
                    forward=forward.id,
                    protocol="udp" if protocol == "udp" else "tcp",
                    public_port=port,
                    source=source,
                )
    return None


def guest_of(
    specs: Iterable[NetworkSpec], guest: str
) -> tuple[NetworkSpec, ReservationSpec] | None:
    """A guest by one of its addresses or its name, and its network."""
    for spec in specs:
        for reservation in spec.reservations:
            named = {reservation.address, reservation.address6, reservation.hostname}
            if guest in named - {""} or guest.lower() == reservation.mac:
                return spec, reservation
    return None


def _told(specs: Specs, network: str) -> NetworkSpec | None:
    spec = specs(network)
    return spec if spec is not None and spec.present else None


def _is_wanted(forward: ForwardSpec, case: Case) -> bool:
    return forward.id == case.forward and forward.protocol in {case.protocol, "all"}


def _reservation(spec: NetworkSpec, wanted: str) -> ReservationSpec | None:
    return next((r for r in spec.reservations if r.id == wanted), None)


def _refuse_other_family(forward: ForwardSpec, source: str) -> None:
    if source and version_of(source) != version_of(forward.public_address):
        raise Invalid(
            f"{source} cannot send to {forward.public_address}: one is IPv4, the other IPv6.",
            field="source",
        )


def _refuse_no_address(text: str, field: str) -> None:
    try:
        ip_address(text or "::")
    except ValueError as error:
        raise Invalid(f"“{text}” is not an IP address.", field=field) from error
