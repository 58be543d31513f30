"""The net under everything: what got lost between two processes is found here and rung again."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from kvmweb.core.locks import lock
from kvmweb.jobs.dispatch import finish, send, sync
from kvmweb.jobs.models import Job, Status
from kvmweb.jobs.subjects import kind_named, locked

log = logging.getLogger(__name__)


def sweep() -> None:
    """Send running jobs past their lease again; start queued ones that nobody started."""
    overdue = Job.objects.filter(status=Status.RUNNING, lease_until__lt=timezone.now())
    for pk in list(overdue.values_list("pk", flat=True)):
        _safely(_send_again, pk)
    running = Job.objects.filter(
        status=Status.RUNNING,
        kind=OuterRef("kind"),
        subject=OuterRef("subject"),
        only_checks=OuterRef("only_checks"),
    )
    queued = Job.objects.filter(~Exists(running), status=Status.QUEUED).order_by("pk")
    for kind, subject in list(queued.values_list("kind", "subject")):
        _safely(sync, kind, subject)


def _safely(ring: Callable[..., None], *about: object) -> None:
    """One job that cannot be rung must not keep the others waiting."""
    try:
        ring(*about)
    except Exception:
        log.exception("could not ring %s", about)


def _send_again(pk: int) -> None:
    with transaction.atomic():
        known = Job.objects.get(pk=pk)
        kind = kind_named(known.kind)
        subject = locked(kind, known.subject)
        job = lock(Job.objects.all()).get(pk=pk)
        if job.status != Status.RUNNING or (job.lease_until and job.lease_until >= timezone.now()):
            return
        if subject is None:
            finish(job, Status.CANCELLED, message="What this job was about is gone.")
            return
        log.info(
            "job %s is past its lease, sending it again (attempt %s)", job.uuid, job.attempt + 1
        )
        send(kind, subject, job)
