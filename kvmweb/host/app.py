"""The Celery app of a host's processes: without Django, and patient with its broker."""

from __future__ import annotations

import logging
import logging.config
import warnings
from typing import Any

from celery import Celery, signals
from celery.apps.worker import Worker
from celery.exceptions import SecurityWarning
from celery.worker import WorkController

from kvmweb.core.broker import SETTINGS
from kvmweb.host.config import HostConfig


def make_app(config: HostConfig) -> Celery:
    """The app, with no task yet; importing this module connects to nothing."""
    app = Celery("kvmweb.host", fixups=[])
    app.conf.update(SETTINGS, broker_url=config.broker)
    return app


class HostWorker(Worker):
    """Celery's worker program without its banner and without its restart on SIGHUP.

    The restart would start this program by its file, where `python -m` is meant.
    """

    def install_platform_tweaks(self, worker: WorkController) -> None:
        """Keep Celery's handlers for ending, leave SIGHUP alone."""
        self._isatty = True
        super().install_platform_tweaks(worker)


def run_worker(app: Celery, *, queue: str, pool: str, slots: int, name: str) -> int:
    """Serve `queue` until told to end, waiting for ever for the broker; returns the exit code."""
    # Root by design: these processes make bridges and start guests, and accept only sealed JSON.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    worker = HostWorker(
        app=app,
        hostname=name,
        queues=[queue],
        pool=pool,
        concurrency=slots,
        optimization="fair",
        loglevel=logging.INFO,
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def set_up_logging(process: str) -> None:
    """One readable line per event on standard error; Celery is kept from bringing its own."""
    handlers: dict[str, Any] = {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}}
    line = f"%(asctime)s.%(msecs)03d {process} %(levelname)s %(message)s"
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"format": line, "datefmt": "%Y-%m-%d %H:%M:%S"}},
            "handlers": handlers,
            "root": {"level": "INFO", "handlers": ["stderr"]},
            "loggers": {
                "celery.app.trace": {"level": "WARNING"},
                "celery.worker.strategy": {"level": "WARNING"},
                "pyroute2": {"level": "WARNING"},
                "asyncio": {"level": "WARNING"},
            },
        }
    )
    signals.setup_logging.connect(_keep_logging)


def _keep_logging(**_: object) -> None:
    """Celery sets up no logging of its own when somebody listens to this signal."""
