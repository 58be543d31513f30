"""What people ask of peerings: one network asks, the other one accepts, either ends it."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from kvmweb.core.access import get_for
from kvmweb.core.errors import Conflict, Invalid
from kvmweb.core.locks import lock
from kvmweb.jobs.dispatch import request
from kvmweb.projects.actions import Actor, audit
from networks import bridged
from networks.actions.lookup import named
from networks.actions.own_router import refuse_peers
from networks.models import Network, Peering


def ask_peering(actor: Actor, *, network: UUID | str, peer: UUID | str) -> Peering:
    """Have a network ask another one of its project, so that their guests reach each other."""
    with transaction.atomic():
        asking = named(actor, Network, network, "network")
        asked = named(actor, Network, peer, "peer")
        asking, asked = _both_locked(asking, asked)
        _refuse_unfit(asking, asked)
        peering = Peering.objects.create(network=asking, peer=asked)
        job = request(actor, asking, f"Let network {asked} reach {asking}")
        audit(actor, "peering.create", peering, project=asking.project, job=job.uuid)
    return peering


def accept_peering(actor: Actor, uuid: UUID | str) -> Peering:
    """Agree for the network that was asked."""
    with transaction.atomic():
        peering = _still_present(actor, uuid)
        if peering.accepted:
            raise Conflict(f"{peering} is accepted already.", code="already_accepted")
        peering.accepted = True
        peering.save(update_fields=["accepted"])
        job = request(actor, peering.peer, f"Let network {peering.network} reach {peering.peer}")
        audit(actor, "peering.accept", peering, project=peering.project, job=job.uuid)
    return peering


def end_peering(actor: Actor, uuid: UUID | str) -> Peering:
    """Part two networks, whether they had agreed already or not; connections between them end."""
    with transaction.atomic():
        peering = _still_present(actor, uuid)
        job = part(actor, peering)
        audit(actor, "peering.delete", peering, project=peering.project, job=job)
    return peering


def part(actor: Actor, peering: Peering) -> UUID:
    """Mark a peering as going and ask for the jobs of both ends, which are locked; the job of the
    one that asked is returned."""
    peering.present, peering.since = False, peering.network.generation + 1
    peering.save(update_fields=["present", "since"])
    job = request(actor, peering.network, f"Part network {peering.network} from {peering.peer}")
    if peering.accepted:
        request(actor, peering.peer, f"Part network {peering.peer} from {peering.network}")
    return job.uuid


def _still_present(actor: Actor, uuid: UUID | str) -> Peering:
    """The peering with both of its networks locked, in the order of their ids."""
    found = get_for(actor.user, Peering, uuid, write=True)
    network, peer = _both_locked(found.network, found.peer)
    current = Peering.objects.filter(pk=found.pk, present=True).first()
    if current is None:
        raise Conflict("These networks are being parted.", code="deleting")
    current.network, current.peer = network, peer
    return current


def _both_locked(one: Network, other: Network) -> tuple[Network, Network]:
    rows = lock(Network.objects.all()).filter(pk__in=(one.pk, other.pk)).order_by("pk")
    found = {network.pk: network for network in rows.select_related("host")}
    if len(found) < len({one.pk, other.pk}):
        raise Conflict("One of these networks is gone.", code="deleting")
    return found[one.pk], found[other.pk]


def _refuse_unfit(asking: Network, asked: Network) -> None:
    if asking.pk == asked.pk:
        raise Invalid("Guests of one network reach each other as it is.", field="peer")
    if asking.project_id != asked.project_id:
        raise Invalid("Only networks of one project can be peers.", field="peer")
    if asking.host_id != asked.host_id:
        raise Conflict(
            f"Network “{asking}” is on host {asking.host}, “{asked}” on host {asked.host}:"
            " their packets meet on no host.",
            field="peer",
            code="different_hosts",
            remedy="Choose a network on the same host, or open a forward.",
        )
    for network, field in ((asking, "network"), (asked, "peer")):
        bridged.refuse_peers(network, field)
        if not network.present:
            raise Conflict(f"Network “{network}” is being deleted.", field=field, code="deleting")
        refuse_peers(network, field)
    if Peering.objects.of(asking).of(asked).filter(present=True).exists():
        raise Conflict(
            f"Network “{asking}” and “{asked}” are peers, or one has asked the other.",
            field="peer",
            code="already_peers",
        )
