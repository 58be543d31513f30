"""What hosts found changed by others, written down."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from django.db import transaction
from django.utils import timezone
from msgspec import Meta

from kvmweb.core.errors import Invalid
from kvmweb.hosts.models import Host
from kvmweb.jobs import notify
from networks.models import Drift, Network

KEPT = timedelta(days=90)


class _Said(msgspec.Struct):
    """What `networks.host.drift` sends."""

    id: UUID
    at: Annotated[datetime, Meta(tz=True)]
    subject: UUID
    missing: Annotated[list[Annotated[str, Meta(max_length=2000)]], Meta(max_length=100)]
    repaired: bool
    only_told: bool = False
    message: Annotated[str, Meta(max_length=2000)] = ""


def record(host: Host, payload: object) -> None:
    """Note what `host` found of one of its networks. What comes twice is noted once; what is not
    over yet ends with the next word about its network."""
    try:
        said = msgspec.convert(payload, _Said)
    except msgspec.ValidationError as error:
        raise Invalid(f"The host's drift cannot be true: {error}") from error
    network = Network.objects.filter(host=host, uuid=said.subject).first()
    if network is None or Drift.objects.filter(uuid=said.id).exists():
        return
    with transaction.atomic():
        end(network)
        if said.missing or said.message:
            _insert(host, network, said)
        Drift.objects.filter(host=host, at__lt=timezone.now() - KEPT).delete()
        notify.subject_changed(Network.kind, network.uuid, network.project_id)


def _insert(host: Host, network: Network, said: _Said) -> None:
    Drift.objects.create(
        uuid=said.id,
        host=host,
        network=network,
        network_name=network.name,
        at=said.at,
        missing=said.missing,
        message=said.message,
        only_told=said.only_told,
        ended_at=said.at if said.repaired else None,
    )


def end(network: Network) -> None:
    """The network was found as it should be, or brought there."""
    Drift.objects.filter(network=network).open().update(ended_at=timezone.now())
