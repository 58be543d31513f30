"""Jobs: what was asked of a host, how far it is, how it ended.

Rows here are the truth; messages only ring.
"""

from __future__ import annotations

from typing import Self
from uuid import uuid4

from django.conf import settings
from django.db import models
from django.db.models import Q

from kvmweb.core.access import User
from kvmweb.jobs.own import spoken
from kvmweb.projects.models import Project, seen_by, written_by


class Status(models.TextChoices):
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Done"
    FAILED = "failed", "Failed"
    CRASHED = "crashed", "Crashed"
    CANCELLED = "cancelled", "Cancelled"

    @property
    def tone(self) -> str:
        """The colour that goes with it; see `kvmweb.core.choices.State`."""
        return {
            "queued": "muted",
            "running": "busy",
            "succeeded": "good",
            "cancelled": "muted",
        }.get(self.value, "bad")

    @property
    def icon(self) -> str:
        return {
            "queued": "clock",
            "running": "loader-2",
            "succeeded": "circle-check",
            "cancelled": "ban",
        }.get(self.value, "alert-triangle")


UNFINISHED = (Status.QUEUED, Status.RUNNING)


def heavy(path: str) -> list[str]:
    """The columns of the job at `path` that can be large and that no list shows, to be deferred."""
    return [f"{path}__payload", f"{path}__traceback"]


class JobQuerySet(models.QuerySet["Job"]):
    def visible_to(self, user: User) -> Self:
        return self.filter(seen_by(user))

    def writable_by(self, user: User) -> Self:
        return self.filter(written_by(user))

    def of(self, kind: str, subject: object) -> Self:
        """The jobs of one subject, given its kind and UUID."""
        return self.filter(kind=kind, subject=subject)

    def unfinished(self) -> Self:
        return self.filter(status__in=UNFINISHED)


class Job(models.Model):
    """One change of one subject on its host, from being asked for to its end.

    Per subject at most one job runs and at most one is queued; later requests join the queued one.
    One that `only_checks` changes nothing and stands apart: at most one more of each.
    `payload` is what was sent, kept until the end so that the very same can be sent again.
    """

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    project = models.ForeignKey(Project, null=True, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=20)
    subject = models.UUIDField()
    subject_name = models.CharField(max_length=255)
    title = models.CharField(max_length=255)
    only_checks = models.BooleanField(default=False)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    host_name = models.CharField(max_length=63, blank=True)
    generation = models.PositiveBigIntegerField(null=True)
    attempt = models.PositiveIntegerField(default=0)
    payload = models.JSONField(null=True, editable=False)
    lease_until = models.DateTimeField(null=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    prerequisites = models.ManyToManyField("self", symmetrical=False, related_name="dependents")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    code = models.CharField(max_length=40, blank=True)
    message = models.TextField(blank=True)
    remedy = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    last_seq = models.PositiveIntegerField(default=0)

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject", "only_checks"],
                condition=Q(status="running"),
                name="one_running_job",
            ),
            models.UniqueConstraint(
                fields=["kind", "subject", "only_checks"],
                condition=Q(status="queued"),
                name="one_queued_job",
            ),
        ]
        indexes = [
            models.Index(fields=["status", "lease_until"], name="job_by_lease"),
            models.Index(fields=["kind", "subject", "-created_at"], name="job_by_subject"),
            models.Index(fields=["project", "-created_at"], name="job_by_project"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def is_finished(self) -> bool:
        return self.status not in UNFINISHED

    @property
    def done_by(self) -> str:
        """Who does it, as people call it; empty before it is sent."""
        return spoken(self.host_name) if self.host_name else ""

    @property
    def has_failed(self) -> bool:
        return self.status in (Status.FAILED, Status.CRASHED)


class JobEvent(models.Model):
    """One report about a job. `seq` grows by one within the job; sockets catch up by it."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="events")
    seq = models.PositiveIntegerField()
    at = models.DateTimeField()
    key = models.CharField(max_length=100)
    sentence = models.CharField(max_length=500)
    state = models.CharField(max_length=8)
    percent = models.PositiveSmallIntegerField(null=True)
    detail = models.TextField(blank=True)

    class Meta:
        ordering = ["job", "seq"]
        constraints = [models.UniqueConstraint(fields=["job", "seq"], name="one_event_per_seq")]

    def __str__(self) -> str:
        return f"{self.seq}. {self.sentence}"
