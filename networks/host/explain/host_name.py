"""The way of a request by a host name on the shared ports 80 and 443 to the guest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from networks.host.explain.between import rules
from networks.host.explain.certificate import CertificateFacts, certificate
from networks.host.explain.guest import guest_steps
from networks.host.explain.seen import ForwardFacts, GuestFacts, HostFacts
from networks.host.explain.service import service
from networks.host.explain.steps import Step, broken, listed, ok
from networks.host.spec import HostNameSpec, NetworkSpec, ReservationSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyFacts:
    """What was seen of the proxy: whether it runs, listens on the name's address, and which lines
    of the name it lacks. `ports` are what answers in the guest, by port. `certificate` is there
    where TLS ends at the host."""

    running: bool
    listens: bool
    missing: tuple[str, ...]
    ports: tuple[tuple[int, ForwardFacts], ...]
    certificate: CertificateFacts | None = None


def explain_host_name(
    spec: NetworkSpec,
    guest: ReservationSpec,
    name: HostNameSpec,
    facts: tuple[HostFacts, ProxyFacts, GuestFacts],
    now: datetime,
) -> tuple[Step, ...]:
    """In the order of a request, but for the certificate: without a good one the proxy may not
    even listen."""
    host, proxy, seen = facts
    return (
        _address(name, host),
        rules(host),
        *([certificate(name, proxy.certificate, now)] if proxy.certificate else []),
        _listening(name, proxy),
        _known(name, proxy),
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


def _listening(name: HostNameSpec, proxy: ProxyFacts) -> Step:
    title, place = "The proxy listens", f"ports 80 and 443 of {name.public_address}"
    if proxy.running and proxy.listens:
        return ok("proxy", title, f"It listens on {place}.")
    found = "It does not listen there." if proxy.running else "It does not run."
    wanted = f"HAProxy on {place}."
    remedy = "Press Repair, and see that haproxy is installed and nothing else has these ports."
    return broken("proxy", title, found, wanted=wanted, remedy=remedy, mend="repair")


def _known(name: HostNameSpec, proxy: ProxyFacts) -> Step:
    title, wanted = "The proxy knows the name", f"{name.name} leads to {name.address}."
    if not proxy.missing:
        return ok("map", title, wanted)
    found = f"It lacks {listed(proxy.missing)}."
    return broken("map", title, found, wanted=wanted, remedy="Press Repair.", mend="repair")
