"""From a request to a spec on its way.

Ask for a job, start it when nothing else of its subject runs, send it.

`request` runs in the transaction of the change. Everything else runs in the control worker alone.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from traceback import format_exception as traceback_of
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from kvmweb.celery import app
from kvmweb.core.broker import CONTROL_QUEUE
from kvmweb.core.envelope import seal
from kvmweb.core.locks import lock
from kvmweb.host.progress import Step
from kvmweb.jobs import notify
from kvmweb.jobs.events import append
from kvmweb.jobs.models import Job, Status
from kvmweb.jobs.own import queue_of, spoken
from kvmweb.jobs.pretend import note
from kvmweb.jobs.subjects import Subject, SubjectKind, kind_named, locked
from kvmweb.projects.actions import Actor

log = logging.getLogger(__name__)

LONGEST_LEASE = timedelta(minutes=10)


def request(actor: Actor | None, subject: Subject, title: str) -> Job:
    """Note that `subject` changed: a new generation, and a job that will bring it to the host.

    Call it last in the transaction that changed the rows, with the subject's row locked. A job that
    is already queued is joined: it will carry this change too. The host is told after the commit.
    """
    subject.generation += 1
    job = _queued(actor, subject, title, only_checks=False)
    if not subject.present:
        job.title = title[:255]
        job.save(update_fields=["title"])
    subject.job = job
    subject.save(update_fields=["generation", "job"])
    for awaited, generation in kind_named(subject.kind).waits_for(subject):
        if awaited.applied_generation < generation and awaited.job and not awaited.job.is_finished:
            job.prerequisites.add(awaited.job)
    if not _runs(subject):
        ring_after_commit(subject.kind, subject.uuid)
    notify.after_commit(job)
    note(subject)
    return job


def _runs(subject: Subject) -> bool:
    """Whether a change of it is under way: the end of that rings, and in a burst of a thousand
    changes a thousand more doorbells would only keep the control worker from hearing of it."""
    running = {"status": Status.RUNNING, "only_checks": False}
    return Job.objects.of(subject.kind, subject.uuid).filter(**running).exists()


def request_check(actor: Actor, subject: Subject, title: str) -> Job:
    """A job that compares the host with what should be there and changes nothing.

    Call it with the subject's row locked.
    """
    job = _queued(actor, subject, title, only_checks=True)
    ring_after_commit(subject.kind, subject.uuid)
    notify.after_commit(job)
    return job


def _queued(actor: Actor | None, subject: Subject, title: str, *, only_checks: bool) -> Job:
    """The subject's queued job of this sort, made if there is none."""
    waiting = {"status": Status.QUEUED, "only_checks": only_checks}
    job = Job.objects.of(subject.kind, subject.uuid).filter(**waiting).first()
    return job or Job.objects.create(
        project=getattr(subject, "project", None),
        kind=subject.kind,
        subject=subject.uuid,
        subject_name=str(subject)[:255],
        title=title[:255],
        only_checks=only_checks,
        requested_by=actor.user if actor else None,
    )


def ring_after_commit(kind: str, uuid: UUID) -> None:
    """Tell the control worker, after the commit, that this subject may have something to send."""
    transaction.on_commit(lambda: _ring(kind, uuid))


def _ring(kind: str, uuid: UUID) -> None:
    try:
        app.send_task("kvmweb.jobs.sync", args=[kind, str(uuid)], queue=CONTROL_QUEUE)
    except OperationalError as error:
        log.warning("broker away, the sweep will start %s %s: %s", kind, uuid, error)


def sync(kind_name: str, uuid: UUID | str) -> None:
    """Start the subject's queued jobs where none of their sort runs and all they wait for is there.

    They are sent after the commit.
    """
    kind = kind_named(kind_name)
    with transaction.atomic():
        subject = locked(kind, uuid)
        unfinished = list(lock(Job.objects.all()).of(kind_name, uuid).unfinished())
        busy = {job.only_checks for job in unfinished if job.status == Status.RUNNING}
        for job in unfinished:
            if job.only_checks not in busy:
                _start_if_ready(kind, subject, job)


def _start_if_ready(kind: SubjectKind, subject: Subject | None, job: Job) -> None:
    if subject is None:
        finish(job, Status.CANCELLED, message="What this job was about is gone.")
    elif job.only_checks or (awaited := _awaited(kind, subject)) is None:
        _start_or_crash(kind, subject, job)
    elif awaited.job is None or awaited.job.is_finished:
        _fail_with(job, awaited)


def _awaited(kind: SubjectKind, subject: Subject) -> Subject | None:
    """The first thing this subject waits for that its host does not have yet."""
    for awaited, generation in kind.waits_for(subject):
        if awaited.applied_generation < generation:
            return awaited
    return None


def _fail_with(job: Job, awaited: Subject) -> None:
    """End a job because what it waits for has failed, in that failure's words."""
    reason = awaited.job.message if awaited.job else ""
    finish(
        job,
        Status.FAILED,
        code=f"{awaited.kind}_failed",
        message=f"{awaited.kind.capitalize()} {awaited} could not be set up. {reason}".strip(),
        remedy=(awaited.job.remedy if awaited.job else "") or "Mend that, then press Retry.",
    )


def _start_or_crash(kind: SubjectKind, subject: Subject, job: Job) -> None:
    """A spec that cannot be built is our bug: the job ends with it, and holds up no other."""
    try:
        with transaction.atomic():
            _start(kind, subject, job)
    except Exception as error:
        log.exception("the spec of job %s cannot be built", job.uuid)
        job.refresh_from_db()
        finish(
            job,
            Status.CRASHED,
            code="crashed",
            message="The panel could not describe this to the host.",
            remedy="Tell an operator; the traceback is with this job.",
            traceback="".join(traceback_of(error)),
        )


def _start(kind: SubjectKind, subject: Subject, job: Job) -> None:
    destination = kind.destination(subject)
    now = timezone.now()
    job.status = Status.RUNNING
    job.host_name = destination.host
    job.generation = subject.generation
    job.started_at = now
    job.payload = {
        "job": str(job.uuid),
        "kind": subject.kind,
        "only_check": job.only_checks,
        "spec": kind.build_spec(subject),
    }
    waiting = f"Waiting for {spoken(destination.host)}: {job.title}"
    append(job, [(now, Step(key="dispatch", sentence=waiting, state="running"))])
    send(kind, subject, job)


def send(kind: SubjectKind, subject: Subject, job: Job) -> None:
    """Publish a running job (again) after the commit and give it a lease that grows with every
    attempt.
    """
    job.attempt += 1
    lease = min(timedelta(seconds=settings.KVMWEB_JOB_LEASE) * job.attempt, LONGEST_LEASE)
    job.lease_until = timezone.now() + lease
    job.save()
    destination = kind.destination(subject)
    payload: dict[str, Any] = {**(job.payload or {}), "attempt": job.attempt}
    envelope = seal(destination.host, destination.key, payload)
    queue = queue_of(destination.host, kind.worker)

    def publish() -> None:
        try:
            app.send_task(kind.task, args=[envelope], queue=queue)
        except OperationalError as error:
            log.warning("broker away, job %s will be sent again: %s", job.uuid, error)

    transaction.on_commit(publish)
    notify.after_commit(job)


def finish(
    job: Job,
    status: Status,
    *,
    code: str = "",
    message: str = "",
    remedy: str = "",
    traceback: str = "",
) -> None:
    """End a job, in the caller's transaction, and ring for those that waited for it."""
    job.status = status
    job.code, job.message, job.remedy, job.traceback = code, message, remedy, traceback
    job.finished_at = timezone.now()
    job.lease_until = None
    job.payload = None
    job.save()
    ring_after_commit(job.kind, job.subject)
    for dependent in job.dependents.filter(status=Status.QUEUED):
        ring_after_commit(dependent.kind, dependent.subject)
    notify.after_commit(job)
