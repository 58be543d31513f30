"""The signs of life of a worker, given by its consumer: as long as it beats, it also takes jobs.

It runs in Celery's own event loop, on every connection to the broker anew: a worker that lost its
broker goes silent, and the outbox empties the moment the broker is back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from celery import Celery, bootsteps

from kvmweb.host.facts import HostFacts
from kvmweb.host.post import HEARTBEAT, BrokerAway, Outbox, Send

log = logging.getLogger(__name__)

Process = Literal["net", "vm", "monitor"]
BEAT = 10.0
EMPTY_OUTBOX = 2.0


def heartbeat(process: Process, facts: HostFacts | None = None) -> dict[str, Any]:
    """The payload of a heartbeat now."""
    at = datetime.now(UTC).isoformat()
    return {"process": process, "at": at, "facts": msgspec.to_builtins(facts)}


def give_pulse(app: Celery, process: Process, send: Send, outbox: Outbox) -> None:
    """Have the app's worker beat and empty its outbox while it is connected."""

    beat = _quietly(lambda: send(HEARTBEAT, heartbeat(process)))
    empty = _quietly(lambda: outbox.drain(send))
    _repeat(app, {BEAT: beat, EMPTY_OUTBOX: empty})


def empty_outbox(app: Celery, send: Send, outbox: Outbox, *, pulse: Callable[[], None]) -> None:
    """Have the app's worker empty its outbox while it is connected, for one that is no host's; its
    pulse is given by what it is told to do."""
    _repeat(app, {EMPTY_OUTBOX: _quietly(lambda: outbox.drain(send)), BEAT: pulse})


def _repeat(app: Celery, actions: Mapping[float, Callable[[], None]]) -> None:
    """Do each at once and then every so many seconds, on every connection anew."""

    class Repeated(bootsteps.StartStopStep):
        requires = ("celery.worker.consumer.tasks:Tasks",)

        def __init__(self, parent: Any, **options: Any) -> None:
            super().__init__(parent, **options)
            self._entries: list[Any] = []

        def start(self, parent: Any) -> None:
            self._entries = [
                parent.timer.call_repeatedly(seconds, action) for seconds, action in actions.items()
            ]
            for action in actions.values():
                action()

        def stop(self, parent: Any) -> None:  # noqa: ARG002
            for entry in self._entries:
                entry.cancel()

    app.steps["consumer"].add(Repeated)


def _quietly(action: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        try:
            action()
        except BrokerAway as error:
            log.warning("heartbeat_not_sent reason=%s", error)

    return run
