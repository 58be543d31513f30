"""The way of a guest's frames on an interface of the host's owner: what is ours of it, and what can
be seen of the rest. Its addresses are not ours to know."""

from __future__ import annotations

from dataclasses import replace

from networks.host.explain.between import chains, rules
from networks.host.explain.guest import plugged_in, vm_runs
from networks.host.explain.lists import Asked, opened
from networks.host.explain.seen import GuestFacts, HostFacts, Link, Wire
from networks.host.explain.steps import Step, broken, listed, ok, unknown
from networks.host.explain.ways import Version
from networks.host.spec import NetworkSpec, ReservationSpec


def explain_bridged(
    spec: NetworkSpec,
    guest: ReservationSpec,
    asked: Asked,
    facts: tuple[HostFacts, Wire, GuestFacts],
    inward: Version | None,
) -> tuple[Step, ...]:
    """For the way in by packets of the family `inward`, or, where that is None, the way out."""
    host, wire, seen = facts
    if spec.attached_to == "uplink":
        return (_uplink(spec, wire), vm_runs(guest, seen), _tap(guest, seen), _macvtap(spec))
    steps = [
        _bridge(spec, wire),
        vm_runs(guest, seen),
        plugged_in(replace(spec, bridge=spec.attach), guest, seen),
        rules(host),
        _tied(guest, seen),
    ]
    if wire.filtered:
        steps += chains(host)
    if inward is not None:
        steps.append(_let_in(spec, guest, asked, inward))
    steps += [_out(spec, wire), _beyond(spec, inward)]
    return tuple(steps)


def _bridge(spec: NetworkSpec, wire: Wire) -> Step:
    title, name = "The bridge of the host is there", spec.attach
    wanted = f"The bridge {name}, on."
    if wire.link is None:
        return broken(
            "attachment",
            title,
            f"The host has no interface {name}.",
            wanted=wanted,
            remedy=f"Make the bridge {name} again on the host, or give the VM another network.",
        )
    if wire.kind != "bridge":
        return broken(
            "attachment",
            title,
            f"{name} is no bridge, as it was.",
            wanted=wanted,
            remedy=f"Make {name} a bridge again on the host.",
        )
    return _on(title, wire.link, wanted)


def _uplink(spec: NetworkSpec, wire: Wire) -> Step:
    title, name = "The uplink is there", spec.attach
    wanted = f"{name}, on and plugged in."
    if wire.link is None:
        return broken(
            "attachment",
            title,
            f"The host has no interface {name}.",
            wanted=wanted,
            remedy=f"See what became of {name} on the host, or give the VM another network.",
        )
    if wire.link.up and not wire.link.connected:
        return broken(
            "wire",
            title,
            f"{name} has no carrier.",
            wanted=wanted,
            remedy="See its cable, and the port at the other end.",
        )
    return _on(title, wire.link, wanted)


def _on(title: str, link: Link, wanted: str) -> Step:
    if link.up:
        return ok("attachment", title, f"{link.name} is on.")
    remedy = f"Run on the host: ip link set {link.name} up."
    return broken("attachment", title, f"{link.name} is off.", wanted=wanted, remedy=remedy)


def _tap(guest: ReservationSpec, seen: GuestFacts) -> Step:
    title, name = "The guest is plugged in", guest.port
    if seen.port is None:
        found, remedy = f"There is no guest port {name}.", "Stop the VM and start it again."
    elif not seen.port.up:
        found, remedy = f"Guest port {name} is off.", f"Run on the host: ip link set {name} up."
    else:
        return ok("port", title, f"{name} is on.")
    return broken("port", title, found, wanted=f"{name}, on.", remedy=remedy)


def _macvtap(spec: NetworkSpec) -> Step:
    found = (
        f"The guest is on {spec.attach} by macvtap: its frames pass the host by, so nothing of"
        " kvmweb is between, filters or can be looked at. The host itself and the guest do not"
        " reach each other this way."
    )
    return unknown("macvtap", "The network beyond knows the guest", found)


def _tied(guest: ReservationSpec, seen: GuestFacts) -> Step:
    title = "The guest may send, and gets what its rules let in"
    if seen.missing:
        return broken(
            "tied",
            title,
            f"Rules of {guest.port} are not in the kernel: {listed(seen.missing)}.",
            wanted="The guest's port tied to its MAC, with what its network and it let in.",
            remedy="Press Repair.",
            mend="repair",
        )
    return ok("tied", title, f"{guest.port} is tied to {guest.mac}.")


def _let_in(spec: NetworkSpec, guest: ReservationSpec, asked: Asked, version: Version) -> Step:
    if not spec.guarded:
        found = "The network is open: everybody on the wire may reach its guests."
        return ok("inbound", "A rule lets it in", found)
    return opened(spec, replace(guest, address="::" if version == 6 else ""), asked)


def _out(spec: NetworkSpec, wire: Wire) -> Step:
    title = "The bridge leads out"
    if connected := [port.name for port in wire.ports if port.connected]:
        return ok("wire", title, f"By {listed(tuple(connected))}, on and with a carrier.")
    if wire.ports:
        port = wire.ports[0]
        how = "has no carrier" if port.up else "is off"
        switch = f"Run on the host: ip link set {port.name} up."
        return broken(
            "wire",
            title,
            f"{port.name}, by which {spec.attach} leads out, {how}.",
            wanted="A port with a carrier.",
            remedy="See its cable, and the port at the other end." if port.up else switch,
        )
    if wire.addressed:
        found = (
            f"{spec.attach} has no port but those of guests; the host has an address there, and may"
            " route for them or not."
        )
        return unknown("wire", title, found)
    return broken(
        "wire",
        title,
        f"{spec.attach} has no port but those of guests: they reach each other alone.",
        wanted="A network card, or what else leads out, on the bridge.",
        remedy=f"Plug one in on the host: ip link set CARD master {spec.attach}.",
    )


def _beyond(spec: NetworkSpec, inward: Version | None) -> Step:
    other = "who asks" if inward is not None else "the guest"
    found = (
        f"What is beyond {spec.attach} is its owner's: whether the guest got an address there,"
        f" and {other} an answer, is not seen from here."
    )
    return unknown("beyond", "The network beyond knows the guest", found)
