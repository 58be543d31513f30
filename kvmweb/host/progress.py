"""What a host says while it works on a job and when it is done: plain data for all subjects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

StepState = Literal["running", "done", "failed"]

OVERTAKEN = "overtaken"
"""The code of an outcome that made way for the next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of a job. Reports with the same `key` are the same step; a later one replaces it.

    `percent` is given only where the work has a size. `detail` is for the curious and operators.
    """

    key: str
    sentence: str
    state: StepState = "done"
    percent: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How applying a spec ended.

    `attention` maps ids of single objects the kernel refused to the reason. `observed` is what the
    host saw afterwards, in the words of the subject's kind.
    """

    ok: bool
    generation: int
    code: str = ""
    message: str = ""
    remedy: str = ""
    traceback: str = ""
    attention: dict[str, str] = field(default_factory=dict)
    observed: dict[str, Any] = field(default_factory=dict)


Report = Callable[[Step], None]


def silent(step: Step) -> None:
    """A `Report` for those who do not listen, such as `restore`."""
