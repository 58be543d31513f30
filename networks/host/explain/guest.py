"""The guest's own side: is it there, plugged in, and does it answer for its address?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from networks.host.explain.seen import GuestFacts
from networks.host.explain.steps import Step, broken, listed, ok, unknown
from networks.host.spec import NetworkSpec, ReservationSpec


def guest_steps(
    spec: NetworkSpec, reservation: ReservationSpec, guest: GuestFacts
) -> Iterator[Step]:
    """In the order in which a guest comes up."""
    yield vm_runs(reservation, guest)
    yield plugged_in(spec, reservation, guest)
    yield _tied(reservation, guest)
    if ":" in reservation.address:
        yield _slaac(spec, reservation, guest)
    else:
        yield _dhcp(reservation, guest)
    yield _neighbour(reservation, guest)


def vm_runs(reservation: ReservationSpec, guest: GuestFacts) -> Step:
    """Whether the VM behind the address, or behind the MAC where that is all, is on."""
    title = "The VM runs"
    if not guest.is_vm:
        place = reservation.address or reservation.mac
        found = f"No VM of kvmweb uses {place}; whatever does is not looked at."
        return ok("vm", title, found)
    if not guest.vm:
        return unknown("vm", title, "libvirt does not say whether the VM runs.")
    if guest.vm == "running":
        return ok("vm", title, f"{reservation.hostname} is running.")
    return broken(
        "vm",
        title,
        f"{reservation.hostname} is {guest.vm}.",
        wanted="A running VM.",
        remedy="Start the VM.",
        mend="start_vm",
    )


def plugged_in(spec: NetworkSpec, reservation: ReservationSpec, guest: GuestFacts) -> Step:
    """Whether the guest's port is on the bridge, and its link on."""
    title, name = "The guest is plugged in", reservation.port
    mend: Literal["", "repair"] = "repair"
    if not name:
        return ok("port", title, "This address has no guest port of kvmweb.")
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
        return ok("port", title, f"{name} is on and plugged into {spec.bridge}.")
    wanted = f"{name}, on, plugged into {spec.bridge}."
    return broken("port", title, found, wanted=wanted, remedy=remedy, mend=mend)


def _tied(reservation: ReservationSpec, guest: GuestFacts) -> Step:
    title = "The guest may use its address"
    if guest.missing:
        return broken(
            "tied",
            title,
            f"The host does not let {reservation.mac} use {reservation.address}: not in the kernel:"
            f" {listed(guest.missing)}.",
            wanted="The guest's port tied to its own MAC and address.",
            remedy="Press Repair.",
            mend="repair",
        )
    return ok("tied", title, f"{reservation.mac} may use {reservation.address}.")


def _dhcp(reservation: ReservationSpec, guest: GuestFacts) -> Step:
    """A guest that has its address by other means needs no lease."""
    title = "The guest got its address"
    if guest.lease:
        return ok("lease", title, f"{reservation.address} is leased until {guest.lease}.")
    if not guest.dhcp and not guest.mac:
        return broken(
            "dhcp",
            title,
            "The DHCP service of the host does not run, and the guest has no lease.",
            wanted="dnsmasq running.",
            remedy="Press Repair, and see that the network worker of the host runs.",
            mend="repair",
        )
    if guest.mac:
        found = "It has no lease, yet answers: its address is set inside the guest."
        return ok("lease", title, found)
    return broken(
        "lease",
        title,
        f"Nobody with the MAC {reservation.mac} has asked for {reservation.address} yet.",
        wanted="A lease, or the address set inside the guest.",
        remedy="See on its console whether the guest has started and asks for an address by DHCP.",
    )


def _slaac(spec: NetworkSpec, reservation: ReservationSpec, guest: GuestFacts) -> Step:
    """A guest makes its address itself, of what the host announces (RFC 4862)."""
    title = "The guest made itself its address"
    if guest.mac:
        return ok("slaac", title, f"It has {reservation.address}.")
    if not guest.dhcp:
        return broken(
            "ra",
            title,
            f"The service that announces {spec.subnet} to guests does not run.",
            wanted="dnsmasq running.",
            remedy="Press Repair, and see that the network worker of the host runs.",
            mend="repair",
        )
    if guest.link_mac:
        return broken(
            "slaac",
            title,
            f"The guest speaks IPv6 on its link and has not taken {reservation.address}.",
            wanted="The address that follows from the prefix and the MAC (SLAAC, EUI-64).",
            remedy="In the guest, let router advertisements be accepted and no privacy or"
            " stable-secret addresses be made (addr_gen_mode eui64).",
        )
    return broken(
        "slaac",
        title,
        "The guest does not speak IPv6: nobody answers for its address on the link.",
        wanted=f"{reservation.address} in the guest.",
        remedy="See on its console whether the guest has started and IPv6 is on in it.",
    )


def _neighbour(reservation: ReservationSpec, guest: GuestFacts) -> Step:
    title = "The guest answers for its address"
    six = ":" in reservation.address
    key, asked = ("nd", "a neighbour solicitation") if six else ("arp", "an ARP request")
    if not guest.mac:
        return broken(
            key,
            title,
            f"Nobody answers {asked} for {reservation.address}.",
            wanted=f"An answer from {reservation.mac}.",
            remedy="See on its console whether the guest is up and its network card has the"
            " address.",
        )
    if guest.mac != reservation.mac.lower():
        return broken(
            key,
            title,
            f"{guest.mac} answers for {reservation.address}.",
            wanted=f"An answer from {reservation.mac}.",
            remedy="Give the machine with that MAC another address.",
        )
    return ok(key, title, f"{guest.mac} answers.")
