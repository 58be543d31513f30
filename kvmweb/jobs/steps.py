"""A job's steps, folded from its events: reports with the same key are the same step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from kvmweb.jobs.models import JobEvent


@dataclass(slots=True)
class StepView:
    """One line of a job as people see it. `duration_ms` is None while it runs."""

    key: str
    seq: int
    sentence: str
    state: str
    percent: int | None
    detail: str
    started_at: datetime
    finished_at: datetime | None

    @property
    def duration_ms(self) -> int | None:
        if self.finished_at is None:
            return None
        return round((self.finished_at - self.started_at).total_seconds() * 1000)


def fold(events: Iterable[JobEvent]) -> list[StepView]:
    """Steps in the order in which they first appeared."""
    steps: dict[str, StepView] = {}
    for event in events:
        earlier = steps.get(event.key)
        steps[event.key] = StepView(
            key=event.key,
            seq=event.seq,
            sentence=event.sentence,
            state=event.state,
            percent=event.percent,
            detail=event.detail,
            started_at=earlier.started_at if earlier else event.at,
            finished_at=None if event.state == "running" else event.at,
        )
    return list(steps.values())
