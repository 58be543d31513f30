"""The control worker's tasks about VMs."""

from __future__ import annotations

import logging
from typing import Any

from celery import shared_task

from kvmweb.core.errors import Invalid
from kvmweb.hosts.tasks import opened
from kvmweb.metrics.rings import Rings
from kvmweb.metrics.writing import writer
from vms import actions, metrics, pictures
from vms.actions import recycling
from vms.spec_from_rows import record_observed

log = logging.getLogger(__name__)


@shared_task(name="vms.observed", expires=120)
def observed(envelope: dict[str, Any]) -> None:
    if message := opened(envelope):
        host, payload = message
        record_observed(host, payload)


@shared_task(name="vms.pictured", expires=60)
def pictured(envelope: dict[str, Any]) -> None:
    if message := opened(envelope):
        pictures.record(*message)


@shared_task(name="vms.measured", expires=300)
def measured(envelope: dict[str, Any]) -> None:
    if message := opened(envelope):
        host, payload = message
        try:
            metrics.record(host, payload)
        except Invalid as error:
            log.warning("message of host %s dropped: %s", host, error.message)


@shared_task(name="vms.forget_metrics", expires=600)
def forget_metrics() -> None:
    """Of what is long gone."""
    writer().later(Rings.forget)


@shared_task(name="vms.empty_bin", expires=60)
def empty_bin() -> None:
    """Delete the VMs whose time in the bin is over; one that cannot go holds up no other."""
    for pk in recycling.due():
        try:
            recycling.empty_bin_of(pk)
        except Exception:
            log.exception("could not delete VM %s from the bin", pk)


@shared_task(name="vms.forget_uploads", expires=600)
def forget_uploads() -> None:
    actions.forget_uploads()
