"""The control worker's tasks about VMs."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from kvmweb.hosts.tasks import opened
from vms.spec_from_rows import record_observed


@shared_task(name="vms.observed", expires=120)
def observed(envelope: dict[str, Any]) -> None:
    if message := opened(envelope):
        host, payload = message
        record_observed(host, payload)
