"""The end of the way: what answers inside the guest, and whether its answers come back."""

from __future__ import annotations

from networks.host.explain.seen import ForwardFacts
from networks.host.explain.steps import Step, broken, ok, unknown
from networks.host.spec import NetworkSpec, ReservationSpec


def service(guest: ReservationSpec, protocol: str, port: int, own: ForwardFacts) -> Step:
    """Whether something answers on the port, tried from the host."""
    title = "Something in the guest answers on the port"
    place = f"{protocol.upper()} port {port}"
    if protocol == "icmp":
        return unknown("service", title, "A ping is not tried: programs answer on ports.")
    if not port:
        return unknown("service", title, "All of the address leads to the guest: name a port.")
    if own.near == "open":
        return ok("service", title, f"{guest.hostname} answers on {place}.")
    if own.near == "refused":
        return broken(
            "service",
            title,
            f"Nothing in the guest listens on {place} of {guest.address}.",
            wanted=f"A program that listens on {place}, on all addresses or this one.",
            remedy="Start the service in the guest, or lead the forward to another port.",
        )
    if protocol == "udp":
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


def returning(spec: NetworkSpec, own: ForwardFacts) -> Step:
    """Whether the guest answers those beyond its own network."""
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
