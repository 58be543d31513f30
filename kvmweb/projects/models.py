"""Projects (tenants), who belongs to them, tokens of programs, and the audit trail."""

from __future__ import annotations

from typing import Self
from uuid import uuid4

from django.conf import settings
from django.db import models
from django.db.models import Q

from kvmweb.core.access import User, is_operator

LONGEST_PROJECT_NAME = 63


class Role(models.TextChoices):
    OWNER = "owner", "Owner"
    MEMBER = "member", "Member"
    VIEWER = "viewer", "Viewer"


WRITERS = (Role.OWNER, Role.MEMBER)


class ProjectQuerySet(models.QuerySet["Project"]):
    def visible_to(self, user: User) -> Self:
        if is_operator(user):
            return self.all()
        return self.filter(memberships__user_id=user.pk)

    def writable_by(self, user: User) -> Self:
        if is_operator(user):
            return self.all()
        return self.filter(memberships__user_id=user.pk, memberships__role__in=WRITERS)

    def with_membership_of(self, user: User) -> Self:
        """With the user's own membership, if any, as the list `own_membership`."""
        own = Membership.objects.filter(Q(user_id=user.pk))
        return self.prefetch_related(models.Prefetch("memberships", own, to_attr="own_membership"))


class Project(models.Model):
    """A tenant. Everything a user makes belongs to exactly one."""

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    name = models.CharField(max_length=LONGEST_PROJECT_NAME)
    personal_of = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="personal_project",
        help_text="The user who got this project by default.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships"
    )
    role = models.CharField(max_length=8, choices=Role.choices, default=Role.MEMBER)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "user"], name="one_membership_each"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.project}: {self.role}"


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def visible_to(self, user: User) -> Self:
        return self.filter(user_id=user.pk)

    def writable_by(self, user: User) -> Self:
        return self.visible_to(user)


class ApiToken(models.Model):
    """A program's key.

    Only its SHA-256 is kept; `prefix` is shown so that people can tell tokens apart.
    """

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens"
    )
    name = models.CharField(max_length=63)
    prefix = models.CharField(max_length=12, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "API token"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    def visible_to(self, user: User) -> Self:
        if is_operator(user):
            return self.all()
        return self.filter(project__memberships__user_id=user.pk)


class AuditEvent(models.Model):
    """Who did what to which object, when and from where.

    Appended in the transaction of the change, never edited.
    """

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    at = models.DateTimeField(auto_now_add=True, db_index=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    actor_name = models.CharField(max_length=150)
    source = models.CharField(max_length=45, blank=True, help_text="The address it came from.")
    token = models.CharField(max_length=12, blank=True, help_text="Prefix of the API token used.")
    project = models.ForeignKey(
        Project, null=True, on_delete=models.SET_NULL, related_name="audit_events"
    )
    action = models.CharField(max_length=40)
    object_kind = models.CharField(max_length=20)
    object_uuid = models.UUIDField(null=True)
    object_name = models.CharField(max_length=255)
    job_uuid = models.UUIDField(null=True)
    data = models.JSONField(default=dict)

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        ordering = ["-at", "-pk"]
        indexes = [models.Index(fields=["project", "-at"], name="audit_by_project")]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.actor_name}: {self.action} {self.object_name}"


def seen_by(user: User, path: str = "project") -> Q:
    """Condition on rows whose project lies at `path`: this user may see them."""
    return Q() if is_operator(user) else Q(**{f"{path}__memberships__user_id": user.pk})


def written_by(user: User, path: str = "project") -> Q:
    """Condition on rows whose project lies at `path`: this user may change them."""
    if is_operator(user):
        return Q()
    member = f"{path}__memberships"
    return Q(**{f"{member}__user_id": user.pk, f"{member}__role__in": WRITERS})
