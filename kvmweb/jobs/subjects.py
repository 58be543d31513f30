"""What jobs are about.

Rows with a generation, and the registry through which apps tell how theirs are sent and recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal
from uuid import UUID, uuid4

from django.db import models

from kvmweb.core.choices import State
from kvmweb.core.locks import lock
from kvmweb.host.progress import Outcome
from kvmweb.jobs.models import Job


class Subject(models.Model):
    """A row that a host makes true. Three facts, never one field:

    intent (`present`, `generation` and the subclass's own fields, written by people), observed
    (`applied_generation`, `attention`, written by the recorder alone) and the newest `job`.
    """

    kind: ClassVar[str]

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    present = models.BooleanField(default=True, editable=False)
    generation = models.PositiveBigIntegerField(default=0, editable=False)
    applied_generation = models.PositiveBigIntegerField(default=0, editable=False)
    attention = models.JSONField(default=dict, editable=False, blank=True)
    job = models.ForeignKey(
        Job, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True

    @property
    def is_applied(self) -> bool:
        return self.applied_generation >= self.generation

    @property
    def transition(self) -> State | None:
        """The state while intent and host differ; None when the host has what was asked for."""
        if self.job is not None and self.job.has_failed:
            return State.ATTENTION
        if not self.present:
            return State.DELETING
        if not self.is_applied:
            return State.CHANGING if self.applied_generation else State.CREATING
        return None


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a subject's specs go.

    The host's name (its queues carry it) and the key that seals messages to it.
    """

    host: str
    key: str


def _nothing_to_note(_subject: Any, _outcome: Outcome) -> None:
    pass


def _nothing(_subject: Any) -> Iterable[tuple[Subject, int]]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectKind:
    """How one kind of subject is sent to its host and recorded from it.

    `record_failure` is told of a job that its host could not do.
    """

    model: type[Subject]
    worker: Literal["net", "vm", "images"]
    task: str
    destination: Callable[[Any], Destination]
    build_spec: Callable[[Any], dict[str, Any]]
    record: Callable[[Any, Outcome], None]
    waits_for: Callable[[Any], Iterable[tuple[Subject, int]]] = _nothing
    record_failure: Callable[[Any, Outcome], None] = _nothing_to_note


_kinds: dict[str, SubjectKind] = {}


def register(kind: SubjectKind) -> None:
    """Called once per kind, from `AppConfig.ready`."""
    _kinds[kind.model.kind] = kind


def kind_named(name: str) -> SubjectKind:
    return _kinds[name]


def locked(kind: SubjectKind, uuid: UUID | str) -> Subject | None:
    """The subject under its row lock, or None when it is gone."""
    return lock(kind.model._default_manager.all()).filter(uuid=uuid).first()
