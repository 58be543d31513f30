"""What people ask of reservations."""

from __future__ import annotations

import secrets
from typing import TypedDict, Unpack
from uuid import UUID

from django.db import IntegrityError, transaction

from kvmweb.core.access import get_for, is_operator
from kvmweb.core.errors import Conflict, Invalid
from kvmweb.core.text import parse_label
from kvmweb.jobs.dispatch import request
from kvmweb.projects.actions import Actor, audit
from networks import bridged, subnets
from networks.actions.lookup import locked, named, refuse_parked, still_present
from networks.actions.services import set_speeds
from networks.models import Network, Reservation, ReservationQuerySet


def add_reservation(
    actor: Actor, *, network: UUID | str, name: str, address: str = "", mac: str = ""
) -> Reservation:
    """Fix a MAC and an address in a network. What is not given is picked."""
    with transaction.atomic():
        where = locked(actor, named(actor, Network, network, "network").uuid, field="network")
        _refuse_foreign_mac(actor, where, mac)
        reservation = reserve(where, name=name, address=address, mac=mac)
        job = request(actor, where, f"Reserve {reservation.place} for {reservation.name}")
        audit(actor, "reservation.create", reservation, project=where.project, job=job.uuid)
    return reservation


def _refuse_foreign_mac(actor: Actor, network: Network, mac: str) -> None:
    """On the host's own wire are MACs of others that we do not know, the router's among them:
    whoever had one of those would get their frames."""
    if mac and network.is_bridged and not is_operator(actor.user):
        raise Invalid(
            "On a bridged network MACs are picked: one that is chosen could be that of somebody"
            " else out there.",
            field="mac",
            code="mac_not_free_to_choose",
            remedy="Leave it empty, or ask an operator to reserve it for you.",
        )


def reserve(network: Network, *, name: str, address: str = "", mac: str = "") -> Reservation:
    """The rows of a reservation, for an action that holds the network's lock and asks for its job
    itself.
    """
    label = _free_name(network.reservations.all(), name)
    chosen = _free_address(network, network.reservations.all(), address)
    return _insert_reservation(network, label, chosen, mac)


def _free_name(others: ReservationQuerySet, name: str) -> str:
    label = parse_label(name)
    if others.filter(name=label, present=True).exists():
        raise Conflict(
            f"“{label}” has an address in this network already.", field="name", code="name_taken"
        )
    return label


def _free_address(network: Network, others: ReservationQuerySet, address: str) -> str | None:
    """The address that was asked for, or the lowest free one of the network's range; none where
    guests have theirs from outside."""
    if address.strip():
        bridged.refuse(network, "address", f"{bridged.OUTSIDE}, not from here", "Leave it empty.")
    if network.is_bridged:
        return None
    taken = {each for each in others.values_list("address", flat=True) if each}
    if not address.strip():
        ends = network.range_first, network.range_last
        return str(subnets.free_address(network.subnet, taken, *ends))
    chosen = str(subnets.parse_address(address, network.subnet))
    if chosen in taken:
        raise Conflict(f"{chosen} is taken.", field="address", code="address_taken")
    return chosen


def _insert_reservation(network: Network, name: str, address: str | None, mac: str) -> Reservation:
    try:
        with transaction.atomic():
            return Reservation.objects.create(
                network=network,
                name=name,
                address=address,
                mac=subnets.parse_mac(mac) if mac else _new_mac(),
                since=network.generation + 1,
            )
    except IntegrityError as error:
        raise Conflict("This MAC address is in use.", field="mac", code="mac_taken") from error


def _new_mac() -> str:
    """A random MAC under QEMU's prefix that no reservation has."""
    while True:
        mac = "52:54:00:" + secrets.token_bytes(3).hex(":")
        if not Reservation.objects.filter(mac=mac).exists():
            return mac


class ReservationChanges(TypedDict, total=False):
    """What may be changed of a reservation; what is not named stays."""

    name: str
    address: str
    max_down_mbit: int | None
    max_up_mbit: int | None


def change_reservation(
    actor: Actor, uuid: UUID | str, **changes: Unpack[ReservationChanges]
) -> Reservation:
    """Give a reservation another name, address or speed; its MAC, port and forwards stay.

    A running guest keeps its link and takes the new address when it asks for its lease again.
    """
    with transaction.atomic():
        reservation = get_for(actor.user, Reservation, uuid, write=True)
        network = locked(actor, reservation.network.uuid)
        reservation = still_present(reservation)
        refuse_parked(reservation)
        before = str(reservation)
        others = network.reservations.exclude(pk=reservation.pk)
        if "name" in changes:
            reservation.name = _free_name(others, changes["name"])
        if "address" in changes:
            reservation.address = _free_address(network, others, changes["address"])
        if changes.get("max_down_mbit") or changes.get("max_up_mbit"):
            limited = "max_down_mbit" if changes.get("max_down_mbit") else "max_up_mbit"
            bridged.refuse_unfiltered(network, limited)
        set_speeds(reservation, changes)
        reservation.since = network.generation + 1
        reservation.save(update_fields=[*ReservationChanges.__annotations__, "since"])
        job = request(actor, network, f"Change {before} to {reservation}")
        audit(
            actor,
            "reservation.change",
            reservation,
            project=network.project,
            job=job.uuid,
            before=before,
        )
    return reservation


def delete_reservation(actor: Actor, uuid: UUID | str) -> Reservation:
    """Give up an address that no VM uses, and the forwards that lead to it."""
    with transaction.atomic():
        reservation = get_for(actor.user, Reservation, uuid, write=True)
        network = locked(actor, reservation.network.uuid)
        reservation = still_present(reservation)
        if getattr(reservation, "nic", None) is not None:
            raise Conflict(
                f"{reservation.place} belongs to VM “{reservation.name}”.",
                code="reservation_in_use",
                remedy="Delete the VM for good first; it is in the recycle bin."
                if reservation.parked
                else "Delete the VM first.",
            )
        release(reservation, network)
        job = request(actor, network, f"Release {reservation.place}")
        audit(actor, "reservation.delete", reservation, project=network.project, job=job.uuid)
    return reservation


def park(reservation: Reservation, network: Network, *, parked: bool) -> None:
    """Close, or open again, all that leads to a reservation; everything stays claimed.

    `network` is its own, locked, and its job is asked for afterwards.
    """
    generation = network.generation + 1
    for parts in (reservation.forwards, reservation.host_names):
        parts.filter(present=True).update(since=generation)
    Reservation.objects.filter(pk=reservation.pk).update(parked=parked)


def release(reservation: Reservation, network: Network) -> None:
    """Mark a reservation and what leads to it as going; `network` is its own, locked, and its job
    is asked for afterwards.
    """
    generation = network.generation + 1
    for parts in (reservation.forwards, reservation.host_names):
        parts.filter(present=True).update(present=False, since=generation)
    Reservation.objects.filter(pk=reservation.pk).update(present=False, since=generation)
