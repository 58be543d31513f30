"""What is left to do for each subject: the dry run, readable by people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kvmweb.core.errors import KvmwebError
from kvmweb.host.store import S
from kvmweb.host.work import Reconciler


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The ops one subject still needs, as sentences; `error` when that could not be found out."""

    kind: str
    subject: str
    name: str
    steps: tuple[str, ...] = ()
    error: str = ""

    @property
    def is_done(self) -> bool:
        """Nothing to do."""
        return not self.steps and not self.error


def plans_of(kind: str, specs: Iterable[S], reconciler: Reconciler[S]) -> list[Plan]:
    """The plans of all `specs`; nothing is changed."""
    return [_plan(kind, spec, reconciler) for spec in specs]


def _plan(kind: str, spec: S, reconciler: Reconciler[S]) -> Plan:
    name = str(getattr(spec, "name", "")) or spec.subject
    try:
        steps = tuple(op.sentence for op in reconciler.check(spec))
    except KvmwebError as error:
        return Plan(kind=kind, subject=spec.subject, name=name, error=error.message)
    return Plan(kind=kind, subject=spec.subject, name=name, steps=steps)
