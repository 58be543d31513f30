"""Pages with charts of what was measured: as charts by script, as a table for everybody."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from django.http import HttpRequest
from django.utils import timezone

from kvmweb.metrics.series import FINE_SPAN, Values
from kvmweb.metrics.window import Thing, Window, read, window
from kvmweb.metrics.writing import rings

Unit = Literal["percent", "bytes", "bytes/s", "bits/s", "/s", "number"]
_ROWS = 24
_KIB = 1024
_KILO = 1000


@dataclass(frozen=True, slots=True)
class Span:
    """A choice of how far to look back, in seconds."""

    value: str
    label: str
    seconds: int


SPANS = (
    Span("10m", "10 minutes, live", 600),
    Span("1h", "1 hour", 3600),
    Span("24h", "24 hours", 86_400),
    Span("7d", "7 days", 7 * 86_400),
    Span("90d", "90 days", 90 * 86_400),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One figure by the name of its field. What is kept is multiplied by `scale` to be shown."""

    field: str
    label: str
    scale: float = 1


@dataclass(frozen=True, slots=True)
class Chart:
    """Some figures with one axis. `most` is where the axis ends at least; 0: where they end."""

    title: str
    unit: Unit
    lines: tuple[Line, ...]
    most: float = 0
    about: str = ""

    @property
    def json(self) -> str:
        """For the script."""
        return json.dumps(asdict(self))

    def heading(self, line: Line) -> str:
        """Of its column in the table."""
        return f"{self.title}: {line.label.lower()}" if len(self.lines) > 1 else self.title


def charts_of(
    request: HttpRequest, thing: Thing, charts: Sequence[Chart], *, data_url: str, live_url: str
) -> dict[str, Any]:
    """What the templates `charts/…` show of a thing."""
    wish = request.GET.get("span", "")
    span = next((one for one in SPANS if one.value == wish), SPANS[0])
    now = timezone.now().timestamp()
    step = _step(thing, span)
    wanted = window(thing.series, begin=now - span.seconds + step, end=now, now=now, step=step)
    steps = read(rings(), thing, wanted, now=now)
    return {
        "spans": SPANS,
        "span": span,
        "is_live": span is SPANS[0],
        "charts": charts,
        "rows": list(reversed(list(_rows(thing, charts, wanted, steps)))),
        "headings": [chart.heading(line) for chart in charts for line in chart.lines],
        "data_url": data_url,
        "live_url": live_url,
    }


def _step(thing: Thing, span: Span) -> int:
    """Of the table: about as many rows as one reads."""
    least = thing.series.fine if span.seconds <= FINE_SPAN else thing.series.coarse
    return -(-span.seconds // _ROWS // least) * least or least


@dataclass(frozen=True, slots=True)
class Row:
    """`cells` are heading and words of each."""

    at: datetime
    cells: tuple[tuple[str, str], ...]


def _rows(
    thing: Thing, charts: Iterable[Chart], wanted: Window, steps: Sequence[Values]
) -> Iterable[Row]:
    """Those that have a figure, in words."""
    names = thing.series.names
    for number, values in enumerate(steps):
        found = dict(zip(names, values, strict=True))
        if any(value is not None for value in values):
            at = datetime.fromtimestamp(wanted.start + number * wanted.step, tz=UTC)
            cells = [
                (chart.heading(line), said(found[line.field], chart.unit, line.scale))
                for chart in charts
                for line in chart.lines
            ]
            yield Row(at, tuple(cells))


def said(value: float | None, unit: Unit, scale: float = 1) -> str:
    """A figure as people write it; a dash where there is none."""
    if value is None:
        return "–"
    value *= scale
    if unit == "percent":
        return f"{value:.1f} %"
    if unit in ("bytes", "bytes/s"):
        return _prefixed(value, _KIB, ("B", "KiB", "MiB", "GiB", "TiB")) + unit[5:]
    if unit == "bits/s":
        return _prefixed(value, _KILO, ("bit", "kbit", "Mbit", "Gbit", "Tbit")) + "/s"
    return _prefixed(value, _KILO, ("", "k", "M", "G")) + (unit if unit == "/s" else "")


def _prefixed(value: float, base: int, units: Sequence[str]) -> str:
    for unit in units:
        if value < base or unit == units[-1]:
            break
        value /= base
    digits = 0 if value >= 100 or value == int(value) else 1
    return f"{value:.{digits}f} {unit}".strip()
