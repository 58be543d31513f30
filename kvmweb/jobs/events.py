"""Appending events to a job, under its row lock, so that `seq` has no gap and no double."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from kvmweb.core.locks import lock
from kvmweb.host.progress import Step
from kvmweb.jobs import notify
from kvmweb.jobs.models import Job, JobEvent, Status

# Steps of a job that another waits for are stored with the waiting one too, under keys that begin
# with this.
INHERITED = "after-"


def append(job: Job, steps: Sequence[tuple[datetime, Step]]) -> None:
    """Store these steps as the job's next events and as those of the queued jobs that wait for it.

    The caller holds the job's row lock and saves or has saved nothing else of `last_seq`.
    """
    if not steps:
        return
    _store(job, steps)
    for dependent in lock(job.dependents.all()).filter(status=Status.QUEUED):
        _store(dependent, steps, prefix=f"{INHERITED}{job.pk}:")
        notify.after_commit(dependent)


def _store(job: Job, steps: Sequence[tuple[datetime, Step]], *, prefix: str = "") -> None:
    JobEvent.objects.bulk_create(
        JobEvent(
            job=job,
            seq=job.last_seq + offset,
            at=at,
            key=(prefix + step.key)[:100],
            sentence=step.sentence[:500],
            state=step.state,
            percent=step.percent,
            detail=step.detail,
        )
        for offset, (at, step) in enumerate(steps, start=1)
    )
    job.last_seq += len(steps)
    job.save(update_fields=["last_seq"])
