"""What a job says while it runs, sent in small batches that never hold up the work.

Steps are gathered for a moment and sent together; the outcome goes with the last of them. While the
broker is away steps wait in memory and the outcome is kept on disk. A silent job sends an empty
message now and then, which renews its lease.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from kvmweb.host.post import RECORD, BrokerAway, Outbox, Send
from kvmweb.host.progress import Outcome, Step

log = logging.getLogger(__name__)

GATHER = 0.1
KEEP_ALIVE = 10.0
TRY_AGAIN = 1.0
PATIENCE = 2.0
STEPS_KEPT = 500


class Reporter:
    """The reports of one attempt at one job. Call it with steps, end it with `finish` or `close`.

    Times are in seconds: steps are gathered for `gather`, and after `keep_alive` without a message
    an empty one is sent.
    """

    def __init__(
        self,
        send: Send,
        outbox: Outbox,
        job: str,
        attempt: int,
        *,
        gather: float = GATHER,
        keep_alive: float = KEEP_ALIVE,
    ) -> None:
        self._send = send
        self._outbox = outbox
        self._job = job
        self._attempt = attempt
        self._gather = gather
        self._keep_alive = keep_alive
        self._waiting: list[dict[str, Any]] = []
        self._sending: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self._ending = False
        self._outcome: Outcome | None = None
        self._delivered = False
        self._thread = threading.Thread(target=self._run, name=f"report-{job}", daemon=True)
        self._thread.start()

    def __call__(self, step: Step) -> None:
        """Take a step; returns at once."""
        with self._changed:
            _add(self._waiting, step)
            self._changed.notify()

    def finish(self, outcome: Outcome) -> None:
        """Report the end of the job: sent within `PATIENCE` seconds, else kept on disk."""
        self._end(outcome)
        with self._changed:
            if self._delivered:
                return
            payload = self._payload(self._sending + self._waiting, outcome)
        self._outbox.put(RECORD, payload)
        log.warning("outcome_kept job=%s", self._job)

    def close(self) -> None:
        """End without an outcome: the job goes on later. Steps that cannot be sent now are lost."""
        self._end(None)

    def _end(self, outcome: Outcome | None) -> None:
        with self._changed:
            self._ending = True
            self._outcome = outcome
            self._changed.notify()
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        while self._gathered():
            if not self._deliver(None):
                self._pause(TRY_AGAIN)
        if self._outcome is not None or self._waiting:
            self._delivered = self._deliver(self._outcome)

    def _gathered(self) -> bool:
        """Wait for steps, or for a long silence; False when the job has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._ending or self._waiting, self._keep_alive)
            some = bool(self._waiting)
        if some:
            self._pause(self._gather)
        return not self._ending

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._ending, seconds)

    def _deliver(self, outcome: Outcome | None) -> bool:
        with self._changed:
            self._sending, self._waiting = self._waiting, []
        try:
            self._send(RECORD, self._payload(self._sending, outcome))
        except BrokerAway as error:
            log.warning("report_not_sent job=%s reason=%s", self._job, error)
            with self._changed:
                self._waiting = (self._sending + self._waiting)[-STEPS_KEPT:]
                self._sending = []
            return False
        with self._changed:
            self._sending = []
        return True

    def _payload(self, steps: Iterable[dict[str, Any]], outcome: Outcome | None) -> dict[str, Any]:
        return {
            "job": self._job,
            "attempt": self._attempt,
            "steps": list(steps),
            "outcome": msgspec.to_builtins(outcome),
        }


def _add(steps: list[dict[str, Any]], step: Step) -> None:
    """Append, or replace what waits of the same step in the same state: only its percent moved."""
    fields = {"at": datetime.now(UTC).isoformat(), **msgspec.to_builtins(step)}
    for index in range(len(steps) - 1, -1, -1):
        if steps[index]["key"] == step.key:
            if steps[index]["state"] == step.state:
                steps[index] = {**fields, "at": steps[index]["at"]}
                return
            break
    steps.append(fields)
