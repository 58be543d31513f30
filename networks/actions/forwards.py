"""What people ask of forwards."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from ipaddress import ip_address
from typing import TypedDict, Unpack
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from kvmweb.core.access import get_for
from kvmweb.core.errors import Conflict, Invalid
from kvmweb.core.locks import lock
from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.jobs.dispatch import request
from kvmweb.projects.actions import Actor, audit
from networks import bridged, expiry, history, whole
from networks.actions.lookup import locked, named, refuse_as_target, refuse_parked, still_present
from networks.admission import parse_limit, parse_sources, refuse_lone_burst
from networks.models import Forward, Network, Reservation
from networks.ports import LARGEST_PORT, MOST_SHIFTED, claim, pick, refuse_unusable


class Admission(TypedDict, total=False):
    """Who may use a forward, how much and until when: no sources are anyone, None is no limit.
    With `source_nat` the guest leaves by the public address too.
    """

    sources: list[str]
    max_connections: int | None
    max_rate: int | None
    max_burst: int | None
    source_nat: bool
    expires_at: datetime | None


class ForwardChanges(Admission, total=False):
    """What may be changed of a forward; what is not named stays."""

    target_port: int
    reservation: UUID | str
    note: str


def add_forward(
    actor: Actor,
    *,
    reservation: UUID | str,
    target_port: int | None = None,
    protocol: str = Forward.Protocol.TCP,
    public_port: int | None = None,
    ports: int = 1,
    public_address: UUID | str | None = None,
    note: str = "",
    **admission: Unpack[Admission],
) -> Forward:
    """Open public ports to a reservation. Without `public_port` free ones in a row are picked;
    without `target_port` a range leads to the same ports.
    """
    with transaction.atomic():
        target = named(actor, Reservation, reservation, "reservation")
        public = lock_public_address(target.network.host, public_address)
        network = locked(actor, target.network.uuid)
        target = Reservation.objects.get(pk=target.pk)
        forward = open_port(
            network,
            target,
            public,
            protocol=protocol,
            public_port=public_port,
            target_port=target_port,
            ports=ports,
            note=note,
            **admission,
        )
        job = request(actor, network, f"Forward {forward}")
        audit(actor, "forward.create", forward, project=network.project, job=job.uuid)
    return forward


def lock_public_address(host: Host, wanted: UUID | str | None) -> PublicAddress:
    """The public address to forward from, locked: the one asked for by its id or as it is written,
    or the host's default.
    """
    asked = named_addresses([wanted]) if wanted else Q(is_default=True)
    rows = lock(PublicAddress.objects.all()).filter(asked, host=host)
    found = rows.select_related("host").first()
    if found is None:
        raise Invalid(
            "There is no such public address on this network's host.",
            field="public_address",
            remedy="Leave it empty for the host's own.",
        )
    return found


def named_addresses(wanted: Iterable[UUID | str]) -> Q:
    """Those that are named by their ids or as they are written."""
    ids, written = [], []
    for each in wanted:
        try:
            written.append(str(ip_address(str(each))))
        except ValueError:
            ids.append(each)
    return Q(uuid__in=ids) | Q(address__in=written)


def open_port(
    network: Network,
    reservation: Reservation,
    public: PublicAddress,
    *,
    protocol: str,
    public_port: int | None,
    target_port: int | None,
    ports: int = 1,
    note: str = "",
    **admission: Unpack[Admission],
) -> Forward:
    """The rows of a forward, for an action that holds the locks and asks for the network's job
    itself.
    """
    if network.mode == Network.Mode.ISOLATED:
        raise Conflict(
            f"Network “{network}” is isolated: nothing reaches it from outside.",
            field="reservation",
            code="network_isolated",
        )
    bridged.refuse_way_in(network)
    refuse_as_target(reservation)
    if protocol not in Forward.Protocol.values:
        words = ", ".join(Forward.Protocol.values)
        raise Invalid(f"There is no such protocol. Use one of: {words}.", field="protocol")
    if public.is_ipv6 and not network.ipv6_subnet:
        raise Conflict(
            f"Network “{network}” has no IPv6, and {public} is an IPv6 address.",
            field="public_address",
            code="network_without_ipv6",
            remedy="Give the network IPv6 first, or choose an IPv4 address.",
        )
    forward = Forward(
        network=network,
        reservation=reservation,
        public_address=public,
        protocol=protocol,
        note=note[:200],
        since=network.generation + 1,
    )
    if forward.is_whole:
        whole.take(forward, public_port, target_port, ports)
    else:
        _take_ports(forward, public_port, target_port, ports)
    _admit(forward, admission)
    forward.save()
    claim(forward)
    return forward


def _take_ports(
    forward: Forward, public_port: int | None, target_port: int | None, count: int
) -> None:
    """Give a forward its ports: those asked for, or free ones."""
    if not 1 <= count <= LARGEST_PORT:
        raise Invalid(f"A range has 1 to {LARGEST_PORT} ports.", field="ports")
    if target_port is None and count == 1:
        raise Invalid("Which port of the VM?", field="target_port")
    forward.ports = count
    if target_port is not None:
        forward.target_port = _parse_target(target_port, count)
    public = forward.public_address
    if public_port is None:
        public_port = pick(public, forward.protocols, count)
    else:
        refuse_unusable(public, forward.protocols, public_port, count)
    forward.public_port = public_port
    if target_port is None:
        forward.target_port = public_port
    _refuse_long_shift(forward)


def _refuse_long_shift(forward: Forward) -> None:
    each = forward.public_port != forward.target_port or forward.public_address.is_ipv6
    if forward.ports > MOST_SHIFTED and each:
        raise Invalid(
            f"A range on IPv6 or to other ports has at most {MOST_SHIFTED}: each of them "
            "is an entry of its own in the host's firewall.",
            field="ports",
            remedy="Lead it to the same ports, or take fewer.",
        )


def change_forward(actor: Actor, uuid: UUID | str, **changes: Unpack[ForwardChanges]) -> Forward:
    """Lead a forward elsewhere, change who may use it and how much, or its note. The public port
    stays.
    """
    with transaction.atomic():
        forward = get_for(actor.user, Forward, uuid, write=True)
        network = locked(actor, forward.network.uuid)
        forward = still_present(forward)
        if "target_port" in changes:
            whole.refuse_ports(forward, "target_port")
            forward.target_port = _parse_target(changes["target_port"], forward.ports)
            _refuse_long_shift(forward)
        if "reservation" in changes:
            forward.reservation = _other_target(actor, forward, changes["reservation"])
            whole.refuse_second_source(forward)
            history.moved(forward)
        if "note" in changes:
            forward.note = changes["note"][:200]
        _admit(forward, changes)
        return _changed(actor, network, forward, "Change", "change")


def _admit(forward: Forward, changes: Admission) -> None:
    """Take over who may use the forward and how much."""
    if "sources" in changes:
        version = 6 if forward.public_address.is_ipv6 else 4
        forward.sources = parse_sources(changes["sources"], version)
    if "max_connections" in changes:
        forward.max_connections = parse_limit(changes["max_connections"], "max_connections")
    if "max_rate" in changes:
        forward.max_rate = parse_limit(changes["max_rate"], "max_rate")
    if "max_burst" in changes:
        forward.max_burst = parse_limit(changes["max_burst"], "max_burst")
    refuse_lone_burst(forward.max_rate, forward.max_burst)
    if "source_nat" in changes:
        whole.set_source_nat(forward, wanted=changes["source_nat"])
    if "expires_at" in changes:
        expiry.set_end(forward, changes["expires_at"])


def extend_forward(actor: Actor, uuid: UUID | str, *, hours: int = expiry.USUAL_HOURS) -> Forward:
    """Let a forward last longer, by so many hours from its end or from now; one that has expired
    opens again.
    """
    with transaction.atomic():
        forward = get_for(actor.user, Forward, uuid, write=True)
        network = locked(actor, forward.network.uuid)
        forward = still_present(forward)
        expiry.set_end(forward, expiry.extended(forward.expires_at, hours))
        return _changed(actor, network, forward, "Extend", "extend")


def expire_forward(pk: int) -> None:
    """Close a forward whose time is over, for the sweep; its port is kept."""
    with transaction.atomic():
        known = Forward.objects.select_related("network").get(pk=pk)
        network = lock(Network.objects.all()).get(pk=known.network_id)
        forward = Forward.objects.get(pk=pk)
        if not network.present or not forward.present or forward.paused or not forward.is_expired:
            return
        forward.paused = True
        _changed(None, network, forward, "Close expired", "expire")


def _parse_target(port: int, count: int) -> int:
    if not 1 <= port <= port + count - 1 <= LARGEST_PORT:
        raise Invalid(f"A port is a number from 1 to {LARGEST_PORT}.", field="target_port")
    return port


def _other_target(actor: Actor, forward: Forward, uuid: UUID | str) -> Reservation:
    """Another reservation of the forward's network, whose lock is held."""
    target = named(actor, Reservation, uuid, "reservation")
    if target.network_id != forward.network_id:
        raise Conflict(
            f"A forward stays in its network, “{forward.network}”: another network's host could "
            "open the port before this one has closed it.",
            field="reservation",
            code="other_network",
            remedy="Delete this forward, and make one there when it is gone.",
        )
    if target.pk != forward.reservation_id:
        refuse_as_target(target)
    return target


def pause_forward(actor: Actor, uuid: UUID | str) -> Forward:
    """Close a public port and keep it; its open connections end."""
    return _set_paused(actor, uuid, paused=True)


def resume_forward(actor: Actor, uuid: UUID | str) -> Forward:
    """Open a paused forward again."""
    return _set_paused(actor, uuid, paused=False)


def _set_paused(actor: Actor, uuid: UUID | str, *, paused: bool) -> Forward:
    with transaction.atomic():
        forward = get_for(actor.user, Forward, uuid, write=True)
        network = locked(actor, forward.network.uuid)
        forward = still_present(forward)
        if not paused:
            refuse_parked(forward.reservation)
            expiry.refuse_expired(forward, forward.public_endpoint)
        forward.paused = paused
        verb = "pause" if paused else "resume"
        return _changed(actor, network, forward, verb.capitalize(), verb)


def _changed(
    actor: Actor | None, network: Network, forward: Forward, verb: str, action: str
) -> Forward:
    """Save a forward whose network's lock is held, and have the host told."""
    forward.since = network.generation + 1
    forward.save()
    job = request(actor, network, f"{verb} forward {forward}")
    audit(actor, f"forward.{action}", forward, project=network.project, job=job.uuid)
    return forward


def delete_forward(actor: Actor, uuid: UUID | str) -> Forward:
    """Close a public port. It stays claimed until the host has let go of it."""
    with transaction.atomic():
        forward = get_for(actor.user, Forward, uuid, write=True)
        network = locked(actor, forward.network.uuid)
        forward = still_present(forward)
        forward.present = False
        return _changed(actor, network, forward, "Remove", "delete")
