"""What hosts report.

Every message is opened with the key of the host that it says it comes from, or dropped.
"""

from __future__ import annotations

import logging
from typing import Any

from celery import shared_task
from django.utils import timezone

from kvmweb.core.envelope import Forged, open_, sender
from kvmweb.hosts.models import Host
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
    if message := opened(envelope):
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
        changes |= {"facts": payload["facts"], "facts_at": now}
    Host.objects.filter(pk=host.pk).update(**changes)
