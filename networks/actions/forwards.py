"""What people ask of forwards."""

from __future__ import annotations

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
from networks.models import Forward, Network, Reservation


def add_forward(
    actor: Actor,
    *,
    reservation: UUID | str,
    target_port: int,
    protocol: str = Forward.Protocol.TCP,
    public_port: int | None = None,
    public_address: UUID | str | None = None,
    note: str = "",
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
    if not 1 <= target_port <= 65535:
        raise Invalid("A port is a number from 1 to 65535.", field="target_port")
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


def change_forward(
    actor: Actor, uuid: UUID | str, *, target_port: int | None = None, note: str | None = None
) -> Forward:
    """Lead a forward to another port of its VM, or change its note. The public port stays."""
    with transaction.atomic():
        forward = get_for(actor.user, Forward, uuid, write=True)
        network = locked(actor, forward.network.uuid)
        forward = still_present(forward)
        if note is not None:
            forward.note = note[:200]
        if target_port is not None:
            if not 1 <= target_port <= 65535:
                raise Invalid("A port is a number from 1 to 65535.", field="target_port")
            forward.target_port = target_port
            forward.since = network.generation + 1
        forward.save()
        job = request(actor, network, f"Change forward {forward}")
        audit(actor, "forward.change", forward, project=network.project, job=job.uuid)
    return forward


def delete_forward(actor: Actor, uuid: UUID | str) -> Forward:
    """Close a public port. It stays claimed until the host has let go of it."""
    with transaction.atomic():
        forward = get_for(actor.user, Forward, uuid, write=True)
        network = locked(actor, forward.network.uuid)
        forward = still_present(forward)
        forward.present = False
        forward.since = network.generation + 1
        forward.save(update_fields=["present", "since"])
        job = request(actor, network, f"Remove forward {forward}")
        audit(actor, "forward.delete", forward, project=network.project, job=job.uuid)
    return forward
