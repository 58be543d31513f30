"""The body of an apply task, the same for every kind of subject: open, keep, apply, answer."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import msgspec
from celery import Celery, Task
from celery.exceptions import Reject

from kvmweb.core.envelope import Forged, open_
from kvmweb.core.errors import HostBusy, KvmwebError, NotConverged
from kvmweb.host.config import HostConfig
from kvmweb.host.post import Outbox, Send
from kvmweb.host.progress import Outcome, Report, Step
from kvmweb.host.report import Reporter
from kvmweb.host.store import S, SpecStore

S_contra = TypeVar("S_contra", contravariant=True)

log = logging.getLogger(__name__)

PAUSES = (1, 2, 5, 10, 10, 10, 10)
"""Seconds before each further try of something that may pass by itself."""

RETRY = "retry"
_REMEMBERED = 4096
_PASSING = frozenset({NotConverged.code, HostBusy.code})


class Op(Protocol):
    """One step of a plan, with a sentence that says what it did."""

    @property
    def sentence(self) -> str: ...


class Reconciler(Protocol[S_contra]):
    """Brings specs of one kind to this host. Expected failures are outcomes or KvmwebErrors."""

    def apply(self, spec: S_contra, report: Report) -> Outcome:
        """Observe, plan, apply, observe again."""
        ...

    def check(self, spec: S_contra) -> Sequence[Op]:
        """The plan, with nothing changed; empty when all is as it should be."""
        ...

    def restore(self, specs: Iterable[S_contra], report: Report) -> list[Outcome]:
        """Put back all of these, as after a reboot."""
        ...


class Order(msgspec.Struct, frozen=True):
    """What the panel sends: one attempt at bringing one spec to this host, or at comparing it."""

    job: str
    kind: str
    attempt: int
    spec: msgspec.Raw
    only_check: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Work(Generic[S]):
    """How jobs of one kind are done on this host.

    `apply` and `check` are the reconciler's; `hold` keeps everybody else away from a subject
    meanwhile. `done` is how the last jobs went that went well: in a long burst a job waits here
    longer than its lease and is sent again, which is then answered and not done again.
    """

    config: HostConfig
    kind: str
    spec_type: type[S]
    store: SpecStore[S]
    apply: Callable[[S, Report], Outcome]
    check: Callable[[S], Sequence[Op]]
    send: Send
    outbox: Outbox
    hold: Callable[[str], AbstractContextManager[object]] = nullcontext
    done: dict[str, Outcome] = field(default_factory=dict)

    def do(self, envelope: object, *, tries: int) -> int | None:
        """Do one job after `tries` tries; returns the seconds to wait before another one.

        None says the job has ended, or was none: a message that this host's key did not make is
        logged and dropped.
        """
        try:
            order = _order(open_(self.config.key, envelope), self.kind)
        except (Forged, msgspec.ValidationError) as error:
            log.error("message_dropped kind=%s reason=%s", self.kind, error)
            return None
        report = Reporter(self.send, self.outbox, order.job, order.attempt)
        outcome, passing = self._outcome(order, report)
        if passing and tries < len(PAUSES):
            report(_pause_step(outcome, PAUSES[tries]))
            report.close()
            return PAUSES[tries]
        if tries:
            report(Step(key=RETRY, sentence=f"Tried {tries + 1} times"))
        report.finish(outcome)
        log.info(
            "job_done kind=%s job=%s ok=%s code=%s", self.kind, order.job, outcome.ok, outcome.code
        )
        return None

    def give_up(self, envelope: object, reason: str) -> None:
        """Answer for a job that was to be tried again but could not be put back on the queue."""
        order = _order(open_(self.config.key, envelope), self.kind)
        Reporter(self.send, self.outbox, order.job, order.attempt).finish(
            Outcome(
                ok=False,
                generation=0,
                code=HostBusy.code,
                message=f"The host could not try again: {reason}",
                remedy="Press Retry.",
            )
        )

    def _outcome(self, order: Order, report: Report) -> tuple[Outcome, bool]:
        """How the job ended, and whether trying again may help."""
        generation = 0
        try:
            spec = msgspec.json.decode(order.spec, type=self.spec_type)
            generation = spec.generation
            with self.hold(spec.subject):
                if order.only_check:
                    outcome = self._checked(spec, report)
                else:
                    outcome = self._applied(order.job, spec, report)
        except KvmwebError as error:
            return _failed(generation, error), error.retry
        except Exception as error:
            log.exception("job_crashed kind=%s job=%s", self.kind, order.job)
            return _crashed(generation, error), False
        return outcome, not outcome.ok and outcome.code in _PASSING

    def _applied(self, job: str, spec: S, report: Report) -> Outcome:
        newest = self.store.accept(spec)
        if newest is not spec:
            return Outcome(ok=True, generation=newest.generation)
        if (told := self.done.get(job)) is not None:
            return told
        outcome = self.apply(spec, report)
        if outcome.ok:
            self.done[job] = outcome
            if len(self.done) > _REMEMBERED:
                self.done.pop(next(iter(self.done)))
        return outcome

    def _checked(self, spec: S, report: Report) -> Outcome:
        """Tell what applying this spec would do, and do nothing."""
        missing = [op.sentence for op in self.check(spec)]
        for number, sentence in enumerate(missing, start=1):
            report(Step(key=f"check-{number}", sentence=f"A repair would do this: {sentence}"))
        if not missing:
            report(Step(key="check", sentence="All is on the host as it should be"))
        return Outcome(ok=True, generation=0, observed={"missing": missing})


def add_apply_task(app: Celery, name: str, work: Callable[[], Work[S]]) -> None:
    """Register the task `name`, which does a job with `work()` of the process it runs in.

    A further try is a message with a due time, so that meanwhile other subjects get their turn.
    """

    @app.task(name=name, bind=True, max_retries=None)
    def apply(task: Task[Any, None], envelope: dict[str, Any]) -> None:
        pause = work().do(envelope, tries=task.request.retries)
        if pause is not None:
            try:
                task.retry(countdown=pause, max_retries=None, throw=False)
            except Reject as error:
                work().give_up(envelope, str(error))


def _order(payload: dict[str, Any], kind: str) -> Order:
    order = msgspec.json.decode(msgspec.json.encode(payload), type=Order)
    if order.kind != kind:
        raise Forged(f"a {order.kind} was sent to the worker of kind {kind}")
    return order


def _failed(generation: int, error: KvmwebError) -> Outcome:
    return Outcome(
        ok=False,
        generation=generation,
        code=error.code,
        message=error.message,
        remedy=error.remedy,
    )


def _crashed(generation: int, error: Exception) -> Outcome:
    return Outcome(
        ok=False,
        generation=generation,
        code="crashed",
        message=f"{type(error).__name__}: {error}",
        remedy="This is a fault in kvmweb. Report it with the details below; Retry may help.",
        traceback="".join(traceback.format_exception(error)),
    )


def _pause_step(outcome: Outcome, seconds: int) -> Step:
    return Step(
        key=RETRY,
        sentence=f"Trying again in {seconds} s: {outcome.message}",
        state="running",
    )
