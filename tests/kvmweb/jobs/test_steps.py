"""A job's steps, folded from what was reported."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmweb.jobs.models import JobEvent
from kvmweb.jobs.steps import fold

pytestmark = pytest.mark.pure

START = datetime(2026, 1, 1, tzinfo=UTC)


def event(seq: int, key: str, state: str, percent: int | None = None) -> JobEvent:
    return JobEvent(
        seq=seq,
        key=key,
        state=state,
        sentence=f"{key} {state}",
        percent=percent,
        at=START + timedelta(seconds=seq),
    )


def test_a_later_report_of_the_same_step_replaces_the_earlier() -> None:
    steps = fold(
        [event(1, "copy", "running", 10), event(2, "boot", "done"), event(3, "copy", "done", 100)]
    )
    assert [(step.key, step.state, step.percent) for step in steps] == [
        ("copy", "done", 100),
        ("boot", "done", None),
    ]
    assert [step.duration_ms for step in steps] == [2000, 0]


def test_what_runs_has_no_duration_yet() -> None:
    (step,) = fold([event(1, "copy", "running", 10)])
    assert (step.duration_ms, step.finished_at) == (None, None)


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.sampled_from(["running", "done", "failed"])),
        max_size=40,
    )
)
def test_each_step_is_shown_once_as_it_was_said_last(said: list[tuple[str, str]]) -> None:
    events = [event(seq, key, state) for seq, (key, state) in enumerate(said, start=1)]
    steps = fold(events)
    assert [step.key for step in steps] == list(dict.fromkeys(key for key, _ in said))
    assert {step.key: step.state for step in steps} == dict(said)
    for step in steps:
        assert step.seq == max(event.seq for event in events if event.key == step.key)
