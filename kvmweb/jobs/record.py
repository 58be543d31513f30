"""What a host says about a job, written down.

Runs in the control worker, the only writer of observed state.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from kvmweb.core.locks import lock
from kvmweb.host.progress import OVERTAKEN, Outcome, Step
from kvmweb.jobs import notify
from kvmweb.jobs.dispatch import finish
from kvmweb.jobs.events import INHERITED, append
from kvmweb.jobs.models import Job, Status
from kvmweb.jobs.own import spoken
from kvmweb.jobs.subjects import kind_named, locked

log = logging.getLogger(__name__)


def record(host: str, payload: Mapping[str, Any]) -> None:
    """Store the steps and, when there is one, the outcome that `host` reports for a job.

    Reports about a job of another host, or one that has ended, are dropped: they are late or not
    its to make.
    """
    steps = [_timed(step) for step in payload["steps"]]
    outcome = msgspec.convert(payload["outcome"], Outcome | None)
    known = Job.objects.filter(uuid=payload["job"], host_name=host).first()
    if known is None:
        log.warning("host %s reported on job %s, which is not its own", host, payload["job"])
        return
    with transaction.atomic():
        kind = kind_named(known.kind)
        subject = locked(kind, known.subject)
        job = lock(Job.objects.all()).get(pk=known.pk)
        if job.is_finished:
            return
        _renew(job)
        append(job, _taken(job, steps))
        if outcome is None:
            notify.after_commit(job)
            return
        if subject is not None and not job.only_checks:
            (kind.record if outcome.ok else kind.record_failure)(subject, outcome)
        _end(job, outcome)


def _timed(step: Mapping[str, Any]) -> tuple[datetime, Step]:
    fields = dict(step)
    at = datetime.fromisoformat(fields.pop("at"))
    return at, msgspec.convert(fields, Step)


def _taken(job: Job, steps: list[tuple[datetime, Step]]) -> list[tuple[datetime, Step]]:
    """The steps, led by the end of the wait for the host when these are its first words."""
    own = job.events.exclude(key__startswith=INHERITED).exclude(key="dispatch")
    if not steps or own.exists():
        return steps
    who = spoken(job.host_name)
    taken = Step(key="dispatch", sentence=f"{who[0].upper()}{who[1:]} took the job: {job.title}")
    return [(steps[0][0], taken), *steps]


def _renew(job: Job) -> None:
    job.lease_until = timezone.now() + timedelta(seconds=settings.KVMWEB_JOB_LEASE)
    job.save(update_fields=["lease_until"])


def _end(job: Job, outcome: Outcome) -> None:
    if outcome.ok:
        finish(job, Status.SUCCEEDED)
        return
    finish(
        job,
        _ENDS.get(outcome.code, Status.FAILED),
        code=outcome.code,
        message=outcome.message,
        remedy=outcome.remedy,
        traceback=outcome.traceback,
    )


_ENDS = {"crashed": Status.CRASHED, OVERTAKEN: Status.CANCELLED}
