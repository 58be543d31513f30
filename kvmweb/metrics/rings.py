"""Files of fixed size that keep the newest slots of a series: one file for each thing measured.

A file is a ring of fine slots and a ring of coarse ones. A record lies where its slot's number,
modulo the length of the ring, says, and carries that number: what lies there from an earlier turn
is told by it and is as good as gone. So nothing ever has to be deleted or grows, what was not
measured is not there, and writing is a few bytes in place that disturb no reader. One process
writes.

Records are powers of two long and lie at multiples of that, so none straddles a block of a disk.
Nothing is synced: what a loss of power takes are the last samples.
"""

from __future__ import annotations

import math
import os
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

from kvmweb.metrics.series import COARSE_SPAN, FINE_SPAN, Series, Values, mean, total

_MAGIC = b"kvmwebr1"
_HEADER = struct.Struct("<8s5I")
_HEADER_SIZE = 64
_MISSING = math.nan


class Layout:
    """Where the slots of a series lie in its files."""

    def __init__(self, series: Series) -> None:
        count = len(series.fields)
        used = 4 + 4 * count
        self.size = 1 << (used - 1).bit_length()
        self.record = struct.Struct(f"<I{count}f{self.size - used}x")
        self.fine_slots = FINE_SPAN // series.fine
        self.coarse_slots = COARSE_SPAN // series.coarse
        self.per_coarse = series.coarse // series.fine
        steps = (series.fine, series.coarse, self.fine_slots, self.coarse_slots)
        self.header = _HEADER.pack(_MAGIC, self.size, *steps).ljust(_HEADER_SIZE, b"\0")

    def fine_at(self, slot: int) -> int:
        return _HEADER_SIZE + slot % self.fine_slots * self.size

    def coarse_at(self, slot: int) -> int:
        return _HEADER_SIZE + (self.fine_slots + slot % self.coarse_slots) * self.size


class Rings:
    """The files below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._layouts: dict[str, Layout] = {}

    def put(self, series: Series, uuid: UUID | str, slots: Mapping[int, Values]) -> None:
        """Keep these fine slots as they are given."""
        self._change(series, uuid, slots, lambda _old, new: new)

    def add(self, series: Series, uuid: UUID | str, slots: Mapping[int, Values]) -> None:
        """Add to what these fine slots have."""
        self._change(
            series, uuid, slots, lambda old, new: new if old is None else total([old, new])
        )

    def fine(self, series: Series, uuid: UUID | str, first: int, last: int) -> list[Values | None]:
        """The fine slots from `first` to `last`; None for each that is not there."""
        layout = self._layout(series)
        return self._read(series, uuid, first, last, layout.fine_slots, layout.fine_at)

    def coarse(
        self, series: Series, uuid: UUID | str, first: int, last: int
    ) -> list[Values | None]:
        layout = self._layout(series)
        return self._read(series, uuid, first, last, layout.coarse_slots, layout.coarse_at)

    def forget(self, *, before: float | None = None) -> int:
        """Remove the files of what was not measured for as long as anything is kept."""
        before = time.time() - COARSE_SPAN if before is None else before
        old = [path for path in self._folder.glob("*/??/*") if _written(path) < before]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)

    def _path(self, series: Series, uuid: UUID | str) -> Path:
        name = str(uuid)
        return self._folder / series.kind / name[:2] / name

    def _layout(self, series: Series) -> Layout:
        if series.kind not in self._layouts:
            self._layouts[series.kind] = Layout(series)
        return self._layouts[series.kind]

    def _change(
        self,
        series: Series,
        uuid: UUID | str,
        slots: Mapping[int, Values],
        merged: Callable[[Values | None, Values], Values],
    ) -> None:
        layout = self._layout(series)
        with self._opened(series, uuid) as file:
            for slot, values in slots.items():
                place = layout.fine_at(slot)
                (old,) = _decoded(layout, os.pread(file, layout.size, place), [slot])
                os.pwrite(file, _encoded(layout, slot, merged(old, values)), place)
            for coarse in {slot // layout.per_coarse for slot in slots}:
                _roll_up(series, layout, file, coarse)

    @contextmanager
    def _opened(self, series: Series, uuid: UUID | str) -> Iterator[int]:
        """The file for writing. One of another layout is begun anew."""
        path, header = self._path(series, uuid), self._layout(series).header
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.pread(file, len(header), 0) != header:
                os.ftruncate(file, 0)
                os.pwrite(file, header, 0)
            yield file
        finally:
            os.close(file)

    def _read(
        self,
        series: Series,
        uuid: UUID | str,
        first: int,
        last: int,
        length: int,
        place: Callable[[int], int],
    ) -> list[Values | None]:
        layout = self._layout(series)
        wanted = range(first, last + 1)
        try:
            file = os.open(self._path(series, uuid), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return [None] * len(wanted)
        try:
            if os.pread(file, len(layout.header), 0) != layout.header:
                return [None] * len(wanted)
            return [
                values
                for part in _runs(wanted, length)
                for values in _decoded(
                    layout, os.pread(file, layout.size * len(part), place(part[0])), part
                )
            ]
        finally:
            os.close(file)


def _roll_up(series: Series, layout: Layout, file: int, coarse: int) -> None:
    first = coarse * layout.per_coarse
    slots = range(first, first + layout.per_coarse)
    data = os.pread(file, layout.size * len(slots), layout.fine_at(first))
    found = [values for values in _decoded(layout, data, slots) if values is not None]
    rolled = total(found) if series.totals else mean(found)
    os.pwrite(file, _encoded(layout, coarse, rolled), layout.coarse_at(coarse))


def _runs(wanted: range, length: int) -> Iterator[range]:
    """`wanted` cut where the ring of this length begins anew, so each part lies in one piece."""
    first = wanted.start
    while first < wanted.stop:
        end = min(wanted.stop, (first // length + 1) * length)
        yield range(first, end)
        first = end


def _decoded(layout: Layout, data: bytes, slots: Sequence[int]) -> list[Values | None]:
    """The values of each of these neighbours; what lies beyond the file's end is not there."""
    data = data.ljust(layout.size * len(slots), b"\0")
    return [
        tuple(None if value != value else value for value in values) if number == slot else None
        for slot, (number, *values) in zip(slots, layout.record.iter_unpack(data), strict=True)
    ]


def _encoded(layout: Layout, slot: int, values: Values) -> bytes:
    return layout.record.pack(slot, *(_MISSING if value is None else value for value in values))


def _written(path: Path) -> float:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime
    return math.inf
