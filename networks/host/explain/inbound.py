"""The way of a packet from outside to a guest that is reachable as a whole, by no forward."""

from __future__ import annotations

from networks.host.explain.between import kernel, routing, rules
from networks.host.explain.guest import guest_steps
from networks.host.explain.lists import Asked, opened
from networks.host.explain.seen import ForwardFacts, GuestFacts, HostFacts
from networks.host.explain.service import returning, service
from networks.host.explain.steps import Step, broken, ok
from networks.host.spec import NetworkSpec, ReservationSpec


def explain_inbound(
    spec: NetworkSpec,
    guest: ReservationSpec,
    asked: Asked,
    facts: tuple[HostFacts, ForwardFacts, GuestFacts],
) -> tuple[Step, ...]:
    """For a network and guest as packets of this family see them."""
    host, own, seen = facts
    return (
        _whole(spec, guest),
        opened(spec, guest, asked),
        rules(host),
        kernel(host),
        *routing(spec, host),
        *guest_steps(spec, guest, seen),
        service(guest, asked.protocol, asked.port, own),
        returning(spec, own),
    )


def _whole(spec: NetworkSpec, guest: ReservationSpec) -> Step:
    title = "The guest is reachable as a whole"
    if spec.mode == "routed":
        return ok("whole", title, f"{guest.address} is routed: it is not translated.")
    return broken(
        "whole",
        title,
        f"{guest.address} is an address of its own network alone: nobody outside can send to it.",
        wanted="A routed network, a forward, or a public address that leads to the guest (1:1).",
        remedy="Add a forward for what should be reachable.",
    )
