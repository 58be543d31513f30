"""Doing a change without doing it: the specs that would be sent, and nothing left in the database.

The action runs in a transaction that is rolled back, so it checks and refuses as it always does;
what it rings for after a commit never rings.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from kvmweb.jobs.subjects import Subject, kind_named

_noted: ContextVar[list[Subject] | None] = ContextVar("noted", default=None)


@dataclass(frozen=True, slots=True)
class Pretended:
    """A subject as it would be, and the spec its host would get."""

    subject: Subject
    spec: dict[str, Any]


def note(subject: Subject) -> None:
    """Called for every subject that a change is about."""
    noted = _noted.get()
    if noted is not None:
        noted.append(subject)


def pretend(action: Callable[[], object]) -> list[Pretended]:
    """What `action` would send, in the order it asked. Raises what `action` raises."""
    noted: list[Subject] = []
    token = _noted.set(noted)
    try:
        with transaction.atomic():
            action()
            subjects = {(each.kind, each.pk): each for each in noted}
            found = [_pretended(each) for each in subjects.values()]
            transaction.set_rollback(True)
    finally:
        _noted.reset(token)
    return found


def _pretended(subject: Subject) -> Pretended:
    kind = kind_named(subject.kind)
    now = kind.model._default_manager.get(pk=subject.pk)
    return Pretended(now, kind.build_spec(now))
