"""A stretch of time is read at a step that is kept, and a gap is a gap."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmweb.core.errors import Invalid
from kvmweb.metrics.rings import Rings
from kvmweb.metrics.series import COARSE_SPAN, FINE_SPAN, FORWARD, HOST, NETWORK, VM, Series
from kvmweb.metrics.window import MOST_POINTS, Thing, latest, read, window

pytestmark = pytest.mark.pure

NOW = 1_800_000_000
ONE, THERE = UUID(int=1), UUID(int=2)
BUSY = (1.0,) * len(VM.fields)
ALIVE = (0.5, 1e9, 3.0)


@given(
    st.sampled_from([VM, FORWARD]),
    st.floats(1, COARSE_SPAN),
    st.floats(1, COARSE_SPAN),
)
def test_every_stretch_has_a_step_that_is_kept_and_few_points(
    series: Series, ago: float, length: float
) -> None:
    found = window(series, begin=NOW - ago, end=NOW - ago + length, now=NOW, step=None)
    assert found.coarse == (ago > FINE_SPAN + 120)
    assert found.step % (series.coarse if found.coarse else series.fine) == 0
    assert found.start % found.step == 0
    assert found.start <= NOW - ago < found.start + found.step
    assert 1 <= found.points <= 402


@pytest.mark.parametrize(
    ("begin", "end", "step", "field"),
    [
        (NOW, NOW, None, "to"),
        (NOW - 5, NOW - 10, None, "to"),
        (NOW + 100, NOW + 200, None, "from"),
        (0, 1000, None, "from"),
        (NOW - 3600, NOW, 7, "step"),
        (NOW - 3600, NOW, 0, "step"),
        (NOW - 2 * FINE_SPAN, NOW, 10, "step"),
        (NOW - FINE_SPAN, NOW, 10, "step"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_its_name(
    begin: int, end: int, step: int | None, field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        window(VM, begin=begin, end=end, now=NOW, step=step)
    assert refused.value.field == field
    assert f"{MOST_POINTS}" in refused.value.message or field != "step" or step != 10 or end == NOW


def test_means_are_of_what_was_measured_and_gaps_stay(tmp_path: Path) -> None:
    rings, slot = Rings(tmp_path), (NOW - 600) // 10
    for at, cpu in ((0, 1.0), (1, 3.0), (6, 2.0)):
        rings.put(VM, ONE, {slot + at: (cpu, *BUSY[1:])})
    wanted = window(VM, begin=NOW - 600, end=NOW - 480, now=NOW, step=60)
    found = read(rings, Thing(VM, ONE, THERE), wanted, now=NOW)
    assert [values[0] for values in found] == [2.0, 2.0]
    wanted = window(VM, begin=NOW - 600, end=NOW - 520, now=NOW, step=10)
    found = read(rings, Thing(VM, ONE, THERE), wanted, now=NOW)
    assert [values[0] for values in found] == [1, 3, None, None, None, None, 2, None]


def test_silence_of_the_host_is_a_gap_and_its_word_without_traffic_is_nought(
    tmp_path: Path,
) -> None:
    rings, slot = Rings(tmp_path), (NOW - 600) // 10
    for at in (0, 1, 2, 5):
        rings.put(HOST, THERE, {slot + at: ALIVE})
    rings.add(NETWORK, ONE, {slot + 1: (500.0, 50.0, 5.0, 1.0)})
    wanted = window(NETWORK, begin=NOW - 600, end=NOW - 540, now=NOW, step=10)
    found = read(rings, Thing(NETWORK, ONE, THERE), wanted, now=NOW)
    assert [values[0] for values in found] == [0, 50, 0, None, None, 0]


def test_a_step_that_goes_on_shows_what_is_over_of_it(tmp_path: Path) -> None:
    rings = Rings(tmp_path)
    rings.put(VM, ONE, dict.fromkeys(range(NOW // 10 - 60, NOW // 10), BUSY))
    wanted = window(VM, begin=NOW - 600, end=NOW, now=NOW, step=60)
    found = [values[0] for values in read(rings, Thing(VM, ONE, THERE), wanted, now=NOW)]
    assert found == [1.0] * 10
    rings.add(NETWORK, ONE, dict.fromkeys(range(NOW // 10 - 60, NOW // 10), (70.0, 7.0, 1.0, 1.0)))
    wanted = window(NETWORK, begin=NOW - 600, end=NOW, now=NOW, step=60)
    found = [values[0] for values in read(rings, Thing(NETWORK, ONE, THERE), wanted, now=NOW)]
    assert found == [7.0] * 10
    wanted = window(NETWORK, begin=NOW - 600, end=NOW, now=NOW, step=10)
    found = [values[0] for values in read(rings, Thing(NETWORK, ONE, THERE), wanted, now=NOW)]
    assert found == [7.0] * 56 + [None] * 4
    assert latest(rings, VM, ONE, now=NOW) == BUSY
    assert latest(rings, VM, ONE, now=NOW + 600) is None


def test_weeks_are_read_from_the_coarse_ring(tmp_path: Path) -> None:
    rings, week = Rings(tmp_path), NOW - 7 * FINE_SPAN
    rings.put(VM, ONE, dict.fromkeys(range(week // 10, week // 10 + 60), BUSY))
    wanted = window(VM, begin=week, end=NOW, now=NOW, step=None)
    found = [values[0] for values in read(rings, Thing(VM, ONE, THERE), wanted, now=NOW)]
    assert wanted.step == 1800
    assert found[0] == 1.0
    assert set(found[1:]) == {None}
