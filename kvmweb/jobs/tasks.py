"""The control worker's tasks about jobs.

What hosts report arrives in `kvmweb.hosts.tasks`, which checks their seal.
"""

from __future__ import annotations

from celery import shared_task

from kvmweb.jobs import dispatch
from kvmweb.jobs.sweep import sweep as run_sweep


@shared_task(name="kvmweb.jobs.sync")
def sync(kind: str, uuid: str) -> None:
    dispatch.sync(kind, uuid)


@shared_task(name="kvmweb.jobs.sweep", expires=60)
def sweep() -> None:
    run_sweep()
