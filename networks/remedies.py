"""What hosts say about remedies they were to apply, written down."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from django.utils import timezone
from msgspec import Meta

from kvmweb.core.errors import Invalid
from kvmweb.hosts.models import Host
from networks.models import Remedy


class _Said(msgspec.Struct):
    """What `networks.host.mend` sends."""

    id: UUID
    ok: bool
    message: Annotated[str, Meta(max_length=5000)] = ""


def record(host: Host, payload: object) -> None:
    """Note how it ended. One that helped is no finding any more, before the host says so again."""
    try:
        said = msgspec.convert(payload, _Said)
    except msgspec.ValidationError as error:
        raise Invalid(f"The host's answer cannot be true: {error}") from error
    remedy = Remedy.objects.filter(host=host, uuid=said.id, ended_at=None).first()
    if remedy is None:
        return
    remedy.ended_at = timezone.now()
    remedy.message = "" if said.ok else said.message or "The host does not say why."
    remedy.save(update_fields=["ended_at", "message"])
    if said.ok:
        left = [one for one in host.facts.get("findings", ()) if one["id"] != remedy.finding]
        host.facts = {**host.facts, "findings": left}
        host.save(update_fields=["facts"])
