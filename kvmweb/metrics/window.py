"""Reading a stretch of time: from which ring, at which step, and what a gap is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from kvmweb.core.errors import Invalid
from kvmweb.metrics.rings import Rings
from kvmweb.metrics.series import COARSE_SPAN, FINE_SPAN, HOST, Series, Values, mean, total

LATE = 40
"""Seconds after which what was measured has arrived."""
_PATIENCE = 120
"""Who asks for 24 hours asks a moment later; the oldest slots are over by then, and that is all."""
MOST_POINTS = 2000
USUAL_POINTS = 400
_STEPS = (10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 86_400)


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` (Unix time, a multiple of `step`) on, `points` steps of `step` seconds. `coarse`
    says that it is read from the coarse ring."""

    start: int
    step: int
    points: int
    coarse: bool

    @property
    def end(self) -> int:
        return self.start + self.step * self.points


def window(series: Series, *, begin: float, end: float, now: float, step: int | None) -> Window:
    """What shows the time from `begin` to `end`. Raises `Invalid`, naming the field."""
    if end <= begin:
        raise Invalid("The end has to be after the beginning.", field="to")
    begin, end = max(begin, now - COARSE_SPAN), min(end, now)
    if end <= begin:
        raise Invalid("Only the last 90 days are kept, and nothing of the future.", field="from")
    coarse = begin < now - FINE_SPAN - _PATIENCE
    least = series.coarse if coarse else series.fine
    step = _usual(begin, end, least) if step is None else step
    if step <= 0 or step % least:
        raise Invalid(
            f"Use a multiple of {least} seconds.",
            field="step",
            remedy="Finer steps are kept for the last 24 hours.",
        )
    start = int(begin // step) * step
    points = -(-int(end - start) // step) or 1
    if points > MOST_POINTS:
        raise Invalid(
            f"That would be {points} points; there are at most {MOST_POINTS}.",
            field="step",
            remedy=f"Use a step of {-(-int(end - begin) // MOST_POINTS // least + 1) * least} s.",
        )
    return Window(start, step, points, coarse)


def _usual(begin: float, end: float, least: int) -> int:
    fitting = (step for step in _STEPS if step % least == 0)
    return next((step for step in fitting if (end - begin) / step <= USUAL_POINTS), _STEPS[-1])


@dataclass(frozen=True, slots=True)
class Thing:
    """What was measured, and the host that does it."""

    series: Series
    uuid: UUID
    host: UUID


def read(rings: Rings, thing: Thing, wanted: Window, *, now: float) -> list[Values]:
    """The figures of each step: means, of `totals` amounts per second. What the host did not tell
    is None; what it told nothing of while it was heard carried nothing. Of the step that goes on,
    those of its slots that are over."""
    series = thing.series
    found = _steps(rings, series, thing.uuid, wanted, now)
    if not series.totals:
        return [mean(step.there) or series.nothing for step in found]
    heard = _steps(rings, HOST, thing.host, wanted, now)
    return [
        _rates(series, step) if step.there or known.there else series.nothing
        for step, known in zip(found, heard, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Step:
    """The slots of one step that are there, and of how many seconds they could be."""

    there: list[Values]
    seconds: int


def _rates(series: Series, step: _Step) -> Values:
    nothing = (0.0,) * len(series.fields)
    if not step.seconds:
        return series.nothing
    amounts = total([nothing, *step.there])
    return tuple(None if amount is None else amount / step.seconds for amount in amounts)


def _steps(rings: Rings, series: Series, uuid: UUID, wanted: Window, now: float) -> list[_Step]:
    slot = series.coarse if wanted.coarse else series.fine
    first, last = wanted.start // slot, (wanted.end - 1) // slot
    over = max(int(now - LATE) // slot - first, 0)
    read_from = rings.coarse if wanted.coarse else rings.fine
    slots = read_from(series, uuid, first, last)[:over]
    return [_within(slots, first, slot, wanted, at) for at in range(wanted.points)]


def _within(
    slots: Sequence[Values | None], first: int, slot: int, wanted: Window, at: int
) -> _Step:
    """The slots that begin in this step, or the one it lies in where slots are longer."""
    begin = wanted.start + at * wanted.step
    low, high = begin // slot - first, (begin + wanted.step - 1) // slot - first
    found = slots[low : high + 1]
    return _Step([values for values in found if values is not None], slot * len(found))


def latest(rings: Rings, series: Series, uuid: UUID, *, now: float) -> Values | None:
    """The newest figures there are of the last two minutes."""
    slot = int(now // series.fine)
    found = rings.fine(series, uuid, slot - max(12, 120 // series.fine), slot)
    return next((values for values in reversed(found) if values is not None), None)
