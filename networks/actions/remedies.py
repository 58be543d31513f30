"""What operators have hosts do about what is in the way of networks."""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from kvmweb.celery import app
from kvmweb.core.access import get_for
from kvmweb.core.envelope import seal
from kvmweb.core.errors import Conflict, Invalid
from kvmweb.hosts.models import Host
from kvmweb.projects.actions import Actor, audit
from networks.models import Remedy

log = logging.getLogger(__name__)

TASK = "networks.mend"


def apply_remedy(actor: Actor, host: UUID | str, *, finding: str) -> Remedy:
    """Have a host apply the remedy of something it found. Only its id is sent: what is run, the
    host finds out anew."""
    with transaction.atomic():
        found = get_for(actor.user, Host, host, write=True, lock=True)
        told = _told(found, finding)
        if Remedy.objects.filter(host=found, finding=finding, ended_at=None).exists():
            raise Conflict("The host is at it already.", field="finding", code="asked_already")
        remedy = Remedy.objects.create(
            host=found,
            finding=finding,
            found=told["found"],
            does=told["does"],
            asked_by=actor.user,
        )
        audit(actor, "host.apply_remedy", found, project=None, finding=finding, does=told["does"])
        transaction.on_commit(lambda: _send(found, remedy))
    return remedy


def _told(host: Host, finding: str) -> dict[str, Any]:
    told = next((one for one in host.facts.get("findings", ()) if one["id"] == finding), None)
    if told is None:
        raise Invalid(
            "The host does not find that any more.", field="finding", code="no_such_finding"
        )
    if not told["does"]:
        raise Invalid(
            "The host cannot do that by itself.",
            field="finding",
            code="not_ours_to_apply",
            remedy=told["remedy"],
        )
    return dict(told)


def _send(host: Host, remedy: Remedy) -> None:
    payload = {"id": str(remedy.uuid), "finding": remedy.finding}
    envelope = seal(host.name, host.key, payload)
    try:
        app.send_task(TASK, args=[envelope], queue=f"host.{host.name}.net")
    except OperationalError as error:
        log.warning("broker away, remedy %s was not sent: %s", remedy.uuid, error)
        Remedy.objects.filter(pk=remedy.pk).update(
            ended_at=timezone.now(), message="The host could not be reached. Try again."
        )
