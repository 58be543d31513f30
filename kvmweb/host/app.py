"""The Celery app of a host's processes: no Django, no results, JSON only, patient with its broker.

Messages are acknowledged late and handed out one at a time, so that a killed worker loses none. The
visibility timeout is far above any apply: a job whose worker died is sent again by the panel when
its lease ends, long before Redis would redeliver it.
"""

from __future__ import annotations

import logging
import logging.config
import warnings
from typing import Any

from celery import Celery, signals
from celery.apps.worker import Worker
from celery.exceptions import SecurityWarning
from celery.worker import WorkController

from kvmweb.host.config import HostConfig

CONTROL_QUEUE = "control"

TRANSPORT = {
    "visibility_timeout": 3600,
    "unacked_restore_interval": 2,
    "unacked_restore_throttle": 1,
    "socket_timeout": 30,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 10,
    # For publishing: an absent broker is an answer, and every sender here knows what to do then.
    "max_retries": 1,
    "interval_start": 0.1,
}


def make_app(config: HostConfig) -> Celery:
    """The app, with no task yet; importing this module connects to nothing."""
    app = Celery("kvmweb.host", fixups=[])
    app.conf.update(
        broker_url=config.broker,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=TRANSPORT,
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_publish_retry=False,
        task_default_queue=CONTROL_QUEUE,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        timezone="UTC",
    )
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
