"""Figures, told as medians with their spread beside the alternative of the same run."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """`kind` tells what is held against `limit`: our median, or its ratio to the alternative."""

    kind: Literal["median", "ratio"]
    limit: float
    at_least: bool = False

    def is_met(self, ours: float, ratio: float | None) -> bool:
        value = ours if self.kind == "median" else ratio
        if value is None:
            return False
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {self.limit:g}{' ×' if self.kind == 'ratio' else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured thing: all our runs, all runs of the alternative, in `unit`."""

    group: str
    name: str
    unit: str
    ours: Sequence[float]
    alternative: Sequence[float] = ()
    goal: Goal | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.ours)

    @property
    def ratio(self) -> float | None:
        """Our median to the alternative's."""
        return self.median / statistics.median(self.alternative) if self.alternative else None

    def as_json(self) -> dict[str, object]:
        met = self.goal.is_met(self.median, self.ratio) if self.goal else None
        return {
            "group": self.group,
            "name": self.name,
            "unit": self.unit,
            "ours": self.median,
            "alternative": statistics.median(self.alternative) if self.alternative else None,
            "ratio": self.ratio,
            "goal": asdict(self.goal) if self.goal else None,
            "met": met,
            "runs": {"ours": list(self.ours), "alternative": list(self.alternative)},
        }

    def as_row(self) -> list[str]:
        met = "" if self.goal is None else str(self.goal.is_met(self.median, self.ratio)).lower()
        return [
            self.name,
            self.unit,
            _spread(self.ours),
            _spread(self.alternative),
            f"{self.ratio:.2f}" if self.ratio else "",
            str(self.goal or ""),
            {"true": "met", "false": "not met"}.get(met, ""),
        ]


HEADINGS = ["measure", "unit", "ours", "alternative", "ratio", "goal", ""]


def _spread(runs: Sequence[float]) -> str:
    """median (least–most, how many)."""
    if not runs:
        return ""
    middle = f"{statistics.median(runs):.3g}"
    return middle if len(runs) == 1 else f"{middle} ({min(runs):.3g}–{max(runs):.3g}, {len(runs)})"


def table(figures: Sequence[Figure]) -> str:
    """A Markdown table, as docs/performance.md holds it."""
    rows = [HEADINGS, *(figure.as_row() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def save(figures: Sequence[Figure], path: Path) -> None:
    path.write_text(json.dumps([figure.as_json() for figure in figures], indent=2) + "\n")
