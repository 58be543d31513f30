"""The way of a request by a host name on the shared ports 80 and 443 to the guest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from networks.host.explain.between import rules
from networks.host.explain.guest import guest_steps
from networks.host.explain.seen import ForwardFacts, GuestFacts, HostFacts
from networks.host.explain.service import service
from networks.host.explain.steps import Step, broken, listed, ok
from networks.host.spec import HostNameSpec, NetworkSpec, ReservationSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyFacts:
    """What was seen of the proxy: whether it runs, listens on the name's address, and which lines
    of the name it lacks. `ports` are what answers in the guest, by port."""

    running: bool
    listens: bool
    missing: tuple[str, ...]
    ports: tuple[tuple[int, ForwardFacts], ...]


def explain_host_name(
    spec: NetworkSpec,
    guest: ReservationSpec,
    name: HostNameSpec,
    facts: tuple[HostFacts, ProxyFacts, GuestFacts],
) -> tuple[Step, ...]:
    """In the order of a request."""
    host, proxy, seen = facts
    return (
        _address(name, host),
        rules(host),
        *_proxy(name, proxy),
        *guest_steps(spec, guest, seen),
        *(service(guest, "tcp", port, found) for port, found in proxy.ports),
    )


def _address(name: HostNameSpec, host: HostFacts) -> Step:
    title = "The public address is on the host"
    if any(address == name.public_address for _, address in host.holds):
        return ok("address", title, f"The host has {name.public_address}.")
    return broken(
        "address",
        title,
        f"No interface of the host has {name.public_address}.",
        wanted=f"{name.public_address} on an uplink.",
        remedy="Give the address back to the uplink.",
    )


def _proxy(name: HostNameSpec, proxy: ProxyFacts) -> Iterator[Step]:
    title, place = "The proxy listens", f"ports 80 and 443 of {name.public_address}"
    if proxy.running and proxy.listens:
        yield ok("proxy", title, f"It listens on {place}.")
    else:
        found = "It does not listen there." if proxy.running else "It does not run."
        wanted = f"HAProxy on {place}."
        remedy = "Press Repair, and see that haproxy is installed and nothing else has these ports."
        yield broken("proxy", title, found, wanted=wanted, remedy=remedy, mend="repair")
    title = "The proxy knows the name"
    if not proxy.missing:
        yield ok("map", title, f"{name.name} leads to {name.address}.")
    else:
        found = f"It lacks {listed(proxy.missing)}."
        wanted = f"{name.name} leads to {name.address}."
        yield broken("map", title, found, wanted=wanted, remedy="Press Repair.", mend="repair")
