"""What hosts report.

Every message is opened with the key of the host that it says it comes from, or dropped.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from celery import shared_task
from django.utils import timezone

from kvmweb.core.envelope import Forged, open_, sender
from kvmweb.core.errors import Invalid
from kvmweb.hosts.models import Host
from kvmweb.hosts.reported import parse_facts
from kvmweb.jobs.own import opened_own
from kvmweb.jobs.record import record as record_job

log = logging.getLogger(__name__)

_SEEN = {"net": "net_seen_at", "vm": "vm_seen_at", "monitor": "monitor_seen_at"}


def opened(envelope: dict[str, Any]) -> tuple[Host, dict[str, Any]] | None:
    """The host that sealed this envelope and what is in it; None, logged, if not genuine."""
    try:
        name = sender(envelope)
        host = Host.objects.filter(name=name).first()
        if host is None:
            log.warning("message of an unknown host %.40r dropped", name)
            return None
        return host, open_(host.key, envelope)
    except Forged as error:
        log.warning("message dropped: %s", error)
        return None


@shared_task(name="kvmweb.jobs.record")
def record(envelope: dict[str, Any]) -> None:
    try:
        own = opened_own(envelope)
    except Forged as error:
        log.warning("message dropped: %s", error)
        return
    if own is not None:
        record_job(*own)
    elif message := opened(envelope):
        host, payload = message
        record_job(host.name, payload)


@shared_task(name="kvmweb.hosts.heartbeat", expires=120)
def heartbeat(envelope: dict[str, Any]) -> None:
    message = opened(envelope)
    if message is None:
        return
    host, payload = message
    now = timezone.now()
    changes: dict[str, Any] = {_SEEN[payload["process"]]: now}
    if payload["facts"] is not None:
        changes |= _facts(host, payload["facts"], now)
    Host.objects.filter(pk=host.pk).update(**changes)


def _facts(host: Host, said: object, now: datetime) -> dict[str, Any]:
    """The fields to change; facts that cannot be true leave those known before."""
    try:
        return {"facts": parse_facts(said), "facts_at": now}
    except Invalid as error:
        log.warning("facts of host %s dropped: %s", host, error.message)
        return {}
