"""What people ask of jobs themselves."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from kvmweb.core.access import get_for
from kvmweb.core.errors import Conflict, NotFound
from kvmweb.jobs.dispatch import request, request_check
from kvmweb.jobs.models import Job
from kvmweb.jobs.subjects import Subject, kind_named, locked
from kvmweb.projects.actions import Actor, audit


def retry_job(actor: Actor, uuid: UUID | str) -> Job:
    """A new job that brings the subject of a failed one, and all it waits for, to the host as they
    are asked for now.
    """
    with transaction.atomic():
        old = get_for(actor.user, Job, uuid, write=True)
        if not old.is_finished:
            raise Conflict(f"“{old.title}” is still {old.get_status_display().lower()}.")
        if old.only_checks:
            return check(actor, old.kind, old.subject, title=old.title)
        return repair(actor, old.kind, old.subject, title=old.title)


def check(actor: Actor, kind_name: str, uuid: UUID, *, title: str) -> Job:
    """Have a subject's host say what a repair would do there; nothing is changed.

    Runs in the caller's transaction, after the caller's access check.
    """
    subject = locked(kind_named(kind_name), uuid)
    if subject is None:
        raise NotFound(f"This {kind_name} is gone.")
    job = request_check(actor, subject, title)
    audit(actor, f"{kind_name}.check", subject, project=job.project, job=job.uuid)
    return job


def repair(actor: Actor, kind_name: str, uuid: UUID, *, title: str) -> Job:
    """Send a subject to its host again, and before it whatever it waits for that has failed.

    Runs in the caller's transaction, after the caller's access check.
    """
    kind = kind_named(kind_name)
    known = kind.model._default_manager.filter(uuid=uuid).first()
    if known is None:
        raise NotFound(f"This {kind_name} is gone.")
    for awaited, generation in kind.waits_for(known):
        _repair_awaited(actor, awaited, generation)
    subject = locked(kind, uuid)
    if subject is None:
        raise NotFound(f"This {kind_name} is gone.")
    job = request(actor, subject, title)
    audit(actor, f"{kind_name}.repair", subject, project=job.project, job=job.uuid)
    return job


def _repair_awaited(actor: Actor, awaited: Subject, generation: int) -> None:
    current = locked(kind_named(awaited.kind), awaited.uuid)
    if current is None or current.applied_generation >= generation:
        return
    if current.job is not None and current.job.has_failed:
        request(actor, current, f"Repair {current.kind} {current}")
