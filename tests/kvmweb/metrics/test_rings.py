"""Files of fixed size hold the newest slots, and what is older is as if it had never been."""

from __future__ import annotations

import math
import os
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmweb.metrics.rings import Layout, Rings
from kvmweb.metrics.series import (
    FORWARD,
    HOST,
    NETWORK,
    VM,
    Field,
    Series,
    Values,
    mean,
    spread,
    total,
)

pytestmark = pytest.mark.pure

ONE = UUID(int=1)
# Days of it are a few slots, so that a test goes round it many times.
SMALL = Series(kind="small", fields=(Field("a", ""), Field("b", "")), fine=7200, coarse=21_600)
FINE, PER = 12, 3
FIGURES = st.tuples(
    st.none() | st.integers(0, 1000).map(float), st.none() | st.integers(0, 9).map(float)
)


def exactly(values: Values | None) -> Values | None:
    return values and tuple(None if value is None else round(value, 3) for value in values)


@given(st.lists(st.tuples(st.integers(0, 4), FIGURES), min_size=1, max_size=80))
def test_they_hold_what_a_table_of_the_newest_would(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, Values]]
) -> None:
    """Time goes on by so many slots, then one is written. The second thing must stay unaware."""
    rings = Rings(tmp_path_factory.mktemp("rings"))
    fine: dict[int, Values] = {}
    coarse: dict[int, Values] = {}
    now = 100
    for ahead, values in steps:
        now += ahead
        rings.put(SMALL, ONE, {now: values})
        fine[now] = values
        of_it = [fine[slot] for slot in range(now // PER * PER, now + 1) if slot in fine]
        coarse[now // PER] = mean(of_it)
    first = now - FINE + 1
    assert rings.fine(SMALL, ONE, first, now) == [fine.get(slot) for slot in range(first, now + 1)]
    low = 100 // PER
    assert [exactly(one) for one in rings.coarse(SMALL, ONE, low, now // PER)] == [
        exactly(coarse.get(slot)) for slot in range(low, now // PER + 1)
    ]
    assert rings.fine(SMALL, UUID(int=2), first, now) == [None] * FINE


@given(st.lists(st.tuples(st.integers(30, 38), FIGURES), max_size=40))
def test_amounts_add_up_whatever_order_they_come_in(
    tmp_path_factory: pytest.TempPathFactory, amounts: list[tuple[int, Values]]
) -> None:
    summed = Series(kind="sum", fields=SMALL.fields, fine=7200, coarse=21_600, totals=True)
    rings = Rings(tmp_path_factory.mktemp("rings"))
    for slot, values in amounts:
        rings.add(summed, ONE, {slot: values})
    for slot, found in enumerate(rings.fine(summed, ONE, 30, 38), 30):
        there = [values for at, values in amounts if at == slot]
        assert found == (total(there) if there else None)
    for slot, found in enumerate(rings.coarse(summed, ONE, 10, 12), 10):
        there = [values for at, values in amounts if at // PER == slot]
        assert exactly(found) == (exactly(total(there)) if there else None)


@pytest.mark.parametrize("series", [VM, HOST, NETWORK, FORWARD])
def test_a_file_never_grows_beyond_its_rings(tmp_path: Path, series: Series) -> None:
    rings, layout = Rings(tmp_path), Layout(series)
    whole = 64 + layout.size * (layout.fine_slots + layout.coarse_slots)
    for slot in (0, layout.fine_slots - 1, 7 * layout.fine_slots + 5, 2**31):
        rings.put(series, ONE, {slot: (1.0,) * len(series.fields)})
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert file.stat().st_size <= whole < 1_500_000
    assert layout.size & (layout.size - 1) == 0
    assert layout.fine_slots % layout.per_coarse == 0


def test_a_file_of_another_layout_or_a_broken_one_is_begun_anew(tmp_path: Path) -> None:
    rings = Rings(tmp_path)
    rings.put(SMALL, ONE, {100: (1.0, 2.0)})
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    for broken in (b"", b"\0" * 100, os.urandom(3000)):
        file.write_bytes(broken)
        assert rings.fine(SMALL, ONE, 100, 101) == [None, None]
        rings.put(SMALL, ONE, {101: (3.0, None)})
        assert rings.fine(SMALL, ONE, 100, 101) == [None, (3.0, None)]


def test_what_is_long_gone_is_forgotten_and_nothing_else(tmp_path: Path) -> None:
    rings = Rings(tmp_path)
    for number in (1, 2):
        rings.put(SMALL, UUID(int=number), {100: (1.0, 1.0)})
    (old,) = tmp_path.rglob(str(ONE))
    os.utime(old, (1000, 1000))
    assert rings.forget() == 1
    assert rings.fine(SMALL, ONE, 100, 100) == [None]
    assert rings.fine(SMALL, UUID(int=2), 100, 100) == [(1.0, 1.0)]


@given(st.floats(0, 1e9), st.floats(0, 5000), st.integers(1, 3600))
def test_shares_of_a_stretch_add_up_and_lie_in_it(begin: float, length: float, step: int) -> None:
    shares = list(spread(begin, begin + length, step))
    assert math.isclose(sum(share for _, share in shares), 1, rel_tol=1e-6)
    assert all(begin - step <= slot * step <= begin + length for slot, _ in shares)
