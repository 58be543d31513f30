"""The worker of the image library: a Celery app without Django, a few imports at a time."""

from __future__ import annotations

import gc
import os
from contextlib import AbstractContextManager
from pathlib import Path

from celery import signals

from kvmweb.core.hearing import keep_hearing
from kvmweb.host.app import make_app, run_worker
from kvmweb.host.config import HostConfig
from kvmweb.host.files import locked, patiently_locked
from kvmweb.host.post import Outbox, Post
from kvmweb.host.pulse import empty_outbox
from kvmweb.host.store import SpecStore, subject_name
from kvmweb.host.work import Work, add_apply_task
from vms.library.layout import Library
from vms.library.reconcile import Librarian
from vms.library.spec import ImageSpec

KIND = "image"
TASK = "images.apply"


def serve(config: HostConfig, library: Library, *, queue: str) -> int:
    """Run the worker until told to end. Waits for another one to let go first."""
    with patiently_locked(config.paths.run / "images.lock"):
        library.make()
        store = SpecStore(config.paths.specs, KIND, ImageSpec)
        store.prune()
        clear_desks(library, store)
        app = make_app(config)
        post, outbox = Post(app, config), Outbox(config.paths.outbox / KIND)
        work = Work(
            config=config,
            kind=KIND,
            spec_type=ImageSpec,
            store=store,
            apply=Librarian(library).apply,
            check=Librarian(library).check,
            send=post,
            outbox=outbox,
            hold=lambda subject: _hold(config.paths.run, subject),
        )
        add_apply_task(app, TASK, lambda: work)
        empty_outbox(app, post, outbox, pulse=library.pulse.touch)
        keep_hearing(app)
        signals.worker_before_create_process.connect(_share_memory)
        return run_worker(
            app, queue=queue, pool="prefork", slots=config.vm_slots, name=f"images@{os.uname()[1]}"
        )


def clear_desks(library: Library, store: SpecStore[ImageSpec]) -> None:
    """Remove the halves of images that are no longer wanted."""
    wanted = {spec.subject for spec in store.present()}
    for desk in library.work.iterdir():
        if desk.name not in wanted:
            Librarian(library).forget(desk.name)


def _hold(run: Path, subject: str) -> AbstractContextManager[object]:
    return locked(run / "image-jobs" / f"{subject_name(subject)}.lock")


def _share_memory(**_: object) -> None:
    """Keep the collector from writing to, and so copying, the pages children share (gc.freeze)."""
    gc.collect()
    gc.freeze()
