"""The control worker's tasks about networks: what hosts report beside their jobs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from celery import shared_task

from kvmweb.core.errors import Invalid
from kvmweb.hosts.models import Host
from kvmweb.hosts.tasks import opened
from networks import actions, drift, expiry, leases, remedies, usage
from networks.models import Forward, HostName

log = logging.getLogger(__name__)


@shared_task(name="networks.used", expires=120)
def used(envelope: dict[str, Any]) -> None:
    _record(usage.record, envelope)


@shared_task(name="networks.drifted")
def drifted(envelope: dict[str, Any]) -> None:
    _record(drift.record, envelope)


@shared_task(name="networks.mended")
def mended(envelope: dict[str, Any]) -> None:
    _record(remedies.record, envelope)


@shared_task(name="networks.leased")
def leased(envelope: dict[str, Any]) -> None:
    _record(leases.record, envelope)


def _record(write: Callable[[Host, object], None], envelope: dict[str, Any]) -> None:
    """A message that cannot be true is dropped, and the worker goes on."""
    if message := opened(envelope):
        host, payload = message
        try:
            write(host, payload)
        except Invalid as error:
            log.warning("message of host %s dropped: %s", host, error.message)


@shared_task(name="networks.expire", expires=60)
def expire() -> None:
    """Close what leads in though its time is over."""
    _close(expiry.due(Forward), actions.expire_forward)
    _close(expiry.due(HostName), actions.expire_host_name)


def _close(due: list[int], close: Callable[[int], None]) -> None:
    """One that cannot be closed holds up no other."""
    for pk in due:
        try:
            close(pk)
        except Exception:
            log.exception("%s could not close %s", close.__name__, pk)
