"""The control worker with its clock in one process: `python -m kvmweb.server.control`.

Celery's own `-B` forks a second process of the same size. The clock is a thread here. Its schedule
has only intervals, so there is nothing to remember between two starts and no file that can break.
"""

from __future__ import annotations

import gc
import logging
import sys
import warnings

from celery import signals
from celery.apps.worker import Worker
from celery.beat import EmbeddedService, Scheduler
from celery.exceptions import SecurityWarning

from kvmweb.celery import app

# They tell of every message twice; heartbeats alone are twenty a minute.
_CHATTY = ("celery.app.trace", "celery.beat", "celery.worker.strategy")


def main() -> int:
    """Serve the queue `control` until told to end; returns the exit code."""
    app.loader.import_default_modules()
    # Only JSON is accepted, so root is no danger here as it would be with pickle.
    warnings.simplefilter("ignore", SecurityWarning)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    gc.collect()
    gc.freeze()
    signals.setup_logging.connect(_keep_logging)
    clock = EmbeddedService(app, thread=True, scheduler_cls=Scheduler)
    clock.start()  # type: ignore[union-attr]  # a thread, as asked for
    worker = Worker(
        app=app,
        hostname="control",
        queues=["control"],
        pool="solo",
        optimization="fair",
        loglevel=logging.INFO,
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    try:
        worker.start()
    finally:
        clock.stop()
    return int(worker.exitcode or 0)


def _keep_logging(**_: object) -> None:
    """Celery sets up no logging of its own when somebody listens to this signal."""


if __name__ == "__main__":
    sys.exit(main())
