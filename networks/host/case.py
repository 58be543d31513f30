"""What a question "why?" is about, found among what this host was told."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address

from kvmweb.core.errors import Invalid
from networks.host.explain.steps import Case, Step, ipv6_untold, untold
from networks.host.facts import Looker
from networks.host.spec import ForwardSpec, NetworkSpec, ReservationSpec


def explain(looker: Looker, spec: NetworkSpec | None, case: Case) -> tuple[Step, ...]:
    """The steps of the case; `spec` is what the host has stored of its network."""
    _refuse_no_address(case.source)
    if spec is None or not spec.present:
        return untold("the network")
    if not case.forward:
        guest = _reservation(spec, case.reservation)
        return untold("the address") if guest is None else looker.outbound(spec, guest)
    forward = next((f for f in spec.forwards if _is_wanted(f, case)), None)
    if forward is None:
        return untold("the forward")
    if ":" in forward.public_address:
        return ipv6_untold()
    reservation = next((r for r in spec.reservations if r.address == forward.address), None)
    if reservation is None:
        return untold("the forward's target")
    return looker.forward(spec, reservation, forward, case)


def forward_case(
    specs: Iterable[NetworkSpec], address: str, protocol: str, port: int, source: str
) -> Case | None:
    """The case of a public endpoint, as somebody on the host's command line names it."""
    for spec in specs:
        for forward in spec.forwards:
            place = (forward.public_address, forward.protocol)
            last = forward.public_port + forward.ports
            if place == (address, protocol) and forward.public_port <= port < last:
                return Case(
                    network=spec.subject,
                    forward=forward.id,
                    protocol=protocol,
                    public_port=port,
                    source=source,
                )
    return None


def outbound_case(specs: Iterable[NetworkSpec], guest: str) -> Case | None:
    """The case of a guest's way out, by its address or its name."""
    for spec in specs:
        for reservation in spec.reservations:
            if guest in {reservation.address, reservation.hostname}:
                return Case(network=spec.subject, reservation=reservation.id)
    return None


def _is_wanted(forward: ForwardSpec, case: Case) -> bool:
    return forward.id == case.forward and forward.protocol in {case.protocol, "all"}


def _reservation(spec: NetworkSpec, wanted: str) -> ReservationSpec | None:
    return next((r for r in spec.reservations if r.id == wanted), None)


def _refuse_no_address(source: str) -> None:
    try:
        IPv4Address(source or "0.0.0.0")  # noqa: S104
    except AddressValueError as error:
        raise Invalid(f"“{source}” is not an IPv4 address.", field="source") from error
