"""Telling open sockets that something changed.

A message only says what and up to where; pages read the rest from rows.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from functools import cache
from typing import Any
from uuid import UUID

from channels.layers import get_channel_layer
from django.db import transaction

from kvmweb.jobs.models import Job

log = logging.getLogger(__name__)

OPERATORS = "operators"


def job_group(uuid: UUID) -> str:
    return f"job.{uuid}"


def project_group(pk: int) -> str:
    return f"project.{pk}"


def after_commit(job: Job) -> None:
    """After the commit, tell all who watch this job or its project that it has news."""
    transaction.on_commit(lambda: announce(_groups(job.project_id, job), _message(job)))


def subject_changed(kind: str, uuid: UUID, project: int | None) -> None:
    """After the commit, tell a project's watchers that an object's observed state changed."""
    message = {"type": "changed", "kind": kind, "subject": str(uuid)}
    transaction.on_commit(lambda: announce(_project_groups(project), message))


def _groups(project: int | None, job: Job) -> list[str]:
    return [job_group(job.uuid), *_project_groups(project)]


def _project_groups(project: int | None) -> list[str]:
    return [OPERATORS] if project is None else [OPERATORS, project_group(project)]


def _message(job: Job) -> dict[str, Any]:
    return {
        "type": "changed",
        "kind": job.kind,
        "subject": str(job.subject),
        "job": str(job.uuid),
        "status": job.status,
        "seq": job.last_seq,
    }


def announce(groups: list[str], message: dict[str, Any]) -> None:
    """Send without waiting.

    Nobody's work hangs on a socket, and an absent Redis loses only freshness.
    """
    loop = _loop()
    for group in groups:
        asyncio.run_coroutine_threadsafe(_send(group, message), loop)


async def _send(group: str, message: dict[str, Any]) -> None:
    try:
        await get_channel_layer().group_send(group, message)
    except Exception as error:
        log.warning("could not announce to %s: %s", group, error)


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """One loop in one thread keeps one connection; a loop per call would open one each time."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="announce", daemon=True).start()
    return loop
