"""Doing a change without doing it: the specs that would be sent, and nothing left in the database.

The action runs in a transaction that is rolled back, so it checks and refuses as it always does;
what it rings for after a commit never rings.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from kvmweb.core.errors import Conflict
from kvmweb.jobs.subjects import Subject, kind_named

_Key = tuple[str, object]


@dataclass(slots=True)
class _Noted:
    """Subjects in the order they were asked for, and what is lost by which change of theirs."""

    subjects: dict[_Key, Subject] = field(default_factory=dict)
    losses: dict[_Key, str] = field(default_factory=dict)


_noted: ContextVar[_Noted | None] = ContextVar("noted", default=None)


@dataclass(frozen=True, slots=True)
class Pretended:
    """A subject as it would be, and the spec its host would get. `confirm` is what would have to be
    confirmed first."""

    subject: Subject
    spec: dict[str, Any]
    confirm: str


def note(subject: Subject) -> None:
    """Called for every subject that a change is about."""
    noted = _noted.get()
    if noted is not None:
        noted.subjects[_key(subject)] = subject


def confirm_first(subject: Subject, loss: str) -> None:
    """Raise that a change of `subject` has to be confirmed for what is lost by it; when it is only
    pretended, that is told with what it would do."""
    noted = _noted.get()
    if noted is None:
        raise Conflict(
            loss, field="confirm", code="confirmation_needed", remedy="Confirm it to go on."
        )
    noted.losses[_key(subject)] = loss


def _key(subject: Subject) -> _Key:
    return subject.kind, subject.pk


def pretend(action: Callable[[], object]) -> list[Pretended]:
    """What `action` would send, in the order it asked. Raises what `action` raises."""
    noted = _Noted()
    token = _noted.set(noted)
    try:
        with transaction.atomic():
            action()
            losses = noted.losses
            found = [_pretended(of, losses.get(key, "")) for key, of in noted.subjects.items()]
            transaction.set_rollback(True)
    finally:
        _noted.reset(token)
    return found


def _pretended(subject: Subject, loss: str) -> Pretended:
    kind = kind_named(subject.kind)
    now = kind.model._default_manager.get(pk=subject.pk)
    return Pretended(now, kind.build_spec(now), loss)
