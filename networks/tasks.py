"""The control worker's tasks about networks: what hosts report beside their jobs."""

from __future__ import annotations

import logging
from typing import Any

from celery import shared_task

from kvmweb.core.errors import Invalid
from kvmweb.hosts.tasks import opened
from networks import usage

log = logging.getLogger(__name__)


@shared_task(name="networks.used", expires=120)
def used(envelope: dict[str, Any]) -> None:
    if message := opened(envelope):
        host, payload = message
        try:
            usage.record(host, payload)
        except Invalid as error:
            log.warning("message of host %s dropped: %s", host, error.message)
