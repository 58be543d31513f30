"""Keeps a Celery worker from going deaf when its broker is lost in the middle of a task.

An acknowledgement that fails is only logged (kombu.message.ack_log_error), yet its message goes on
counting against the prefetch limit. A worker with that limit used up asks its broker for nothing,
so it never notices that the connection is gone, and takes no task any more: celery #8091, #8030.
"""

from __future__ import annotations

from typing import Any

from celery import Celery, bootsteps
from celery.worker import state

LISTEN = 2.0


def keep_hearing(app: Celery) -> None:
    """Have the app's worker connect anew when it holds no task and yet would take none."""
    app.steps["consumer"].add(Hearing)


class Hearing(bootsteps.StartStopStep):
    """Looks every `LISTEN` seconds, in the worker's own event loop."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._entry: Any = None

    def start(self, parent: Any) -> None:
        """Begin to look; called on every new connection."""
        self._entry = parent.timer.call_repeatedly(LISTEN, _listen, (parent,))

    def stop(self, parent: Any) -> None:  # noqa: ARG002
        """End with the connection."""
        if self._entry is not None:
            self._entry.cancel()


def _listen(consumer: Any) -> None:
    """The event loop takes an error of the connection from a timer as the loss of it."""
    if not state.reserved_requests and not consumer.task_consumer.channel.qos.can_consume():
        raise ConnectionResetError("an acknowledgement was lost with the connection")
