"""What people ask of forwards."""

from __future__ import annotations

from typing import TypedDict, Unpack
from uuid import UUID

from django.db import transaction

from kvmweb.core.access import get_for
from kvmweb.core.errors import Conflict, Invalid
from kvmweb.core.locks import lock
from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.jobs.dispatch import request
from kvmweb.projects.actions import Actor, audit
from networks import ports
from networks.actions.lookup import locked, named, still_present
from networks.admission import parse_limit, parse_sources, refuse_lone_burst
from networks.models import Forward, Network, Reservation


class Admission(TypedDict, total=False):
    """Who may use a forward and how much: no sources are anyone, None is no limit."""

    sources: list[str]
    max_connections: int | None
    max_rate: int | None
    max_burst: int | None


class ForwardChanges(Admission, total=False):
    """What may be changed of a forward; what is not named stays."""

    target_port: int
    reservation: UUID | str
    note: str


def add_forward(
    actor: Actor,
    *,
    reservation: UUID | str,
    target_port: int,
    protocol: str = Forward.Protocol.TCP,
    public_port: int | None = None,
    public_address: UUID | str | None = None,
    note: str = "",
    **admission: Unpack[Admission],
) -> Forward:
    """Open a public port to a reservation. Without `public_port` a free one is picked."""
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
            note=note,
        )
        if admission:
            _admit(forward, admission)
            forward.save()
        job = request(actor, network, f"Forward {forward}")
        audit(actor, "forward.create", forward, project=network.project, job=job.uuid)
    return forward


def lock_public_address(host: Host, uuid: UUID | str | None) -> PublicAddress:
    """The public address to forward from, locked: the one asked for, or the host's default."""
    addresses = lock(PublicAddress.objects.all()).filter(host=host)
    wanted = addresses.filter(uuid=uuid) if uuid else addresses.filter(is_default=True)
    found = wanted.select_related("host").first()
    if found is None:
        raise Invalid(
            "There is no such public address on this network's host.",
            field="public_address",
            remedy="Leave it empty for the host's own.",
        )
    return found


def open_port(
    network: Network,
    reservation: Reservation,
    public: PublicAddress,
    *,
    protocol: str,
    public_port: int | None,
    target_port: int,
    note: str = "",
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
    if not reservation.present:
        raise Conflict("This address is being released.", field="reservation", code="deleting")
    if protocol not in Forward.Protocol.values:
        raise Invalid("Use tcp, udp or tcp+udp.", field="protocol")
    if public.is_ipv6 and not network.ipv6_subnet:
        raise Conflict(
            f"Network “{network}” has no IPv6, and {public} is an IPv6 address.",
            field="public_address",
            code="network_without_ipv6",
            remedy="Give the network IPv6 first, or choose an IPv4 address.",
        )
    target_port = _parse_target(target_port)
    protocols = protocol.split("+")
    if public_port is None:
        public_port = ports.pick(public, protocols)
    else:
        ports.refuse_unusable(public, protocols, public_port)
    forward = Forward.objects.create(
        network=network,
        reservation=reservation,
        public_address=public,
        protocol=protocol,
        public_port=public_port,
        target_port=target_port,
        note=note[:200],
        since=network.generation + 1,
    )
    ports.claim(forward)
    return forward


def change_forward(actor: Actor, uuid: UUID | str, **changes: Unpack[ForwardChanges]) -> Forward:
    """Lead a forward elsewhere, change who may use it and how much, or its note. The public port
    stays.
    """
    with transaction.atomic():
        forward = get_for(actor.user, Forward, uuid, write=True)
        network = locked(actor, forward.network.uuid)
        forward = still_present(forward)
        if "target_port" in changes:
            forward.target_port = _parse_target(changes["target_port"])
        if "reservation" in changes:
            forward.reservation = _other_target(actor, forward, changes["reservation"])
        if "note" in changes:
            forward.note = changes["note"][:200]
        _admit(forward, changes)
        return _changed(actor, network, forward, "Change", "change")


def _admit(forward: Forward, changes: Admission) -> None:
    """Take over who may use the forward and how much."""
    if "sources" in changes:
        forward.sources = parse_sources(changes["sources"])
    if "max_connections" in changes:
        forward.max_connections = parse_limit(changes["max_connections"], "max_connections")
    if "max_rate" in changes:
        forward.max_rate = parse_limit(changes["max_rate"], "max_rate")
    if "max_burst" in changes:
        forward.max_burst = parse_limit(changes["max_burst"], "max_burst")
    refuse_lone_burst(forward.max_rate, forward.max_burst)


def _parse_target(port: int) -> int:
    if not 1 <= port <= 65535:
        raise Invalid("A port is a number from 1 to 65535.", field="target_port")
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
    if not target.present:
        raise Conflict("This address is being released.", field="reservation", code="deleting")
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
        forward.paused = paused
        verb = "pause" if paused else "resume"
        return _changed(actor, network, forward, verb.capitalize(), verb)


def _changed(actor: Actor, network: Network, forward: Forward, verb: str, action: str) -> Forward:
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
