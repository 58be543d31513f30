"""Sizes that operators offer for VMs."""

from __future__ import annotations

from typing import Self
from uuid import uuid4

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from kvmweb.core.access import User, is_operator
from kvmweb.projects.models import Project


class FlavourQuerySet(models.QuerySet["Flavour"]):
    def visible_to(self, user: User) -> Self:
        """Those for everybody and those for one of the user's projects."""
        if is_operator(user):
            return self.all()
        mine = Q(projects=None) | Q(projects__memberships__user_id=user.pk)
        return self.filter(mine).distinct()

    def writable_by(self, user: User) -> Self:
        return self.all() if is_operator(user) else self.none()

    def usable_in(self, project: Project) -> Self:
        return self.filter(Q(projects=None) | Q(projects=project)).distinct()

    def for_display(self) -> Self:
        return self.prefetch_related("projects")


class Flavour(models.Model):
    """A size by name. VMs carry its numbers, so changing it changes none that there is."""

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    name = models.CharField(max_length=40, unique=True)
    vcpus = models.PositiveSmallIntegerField(
        "vCPUs", validators=[MinValueValidator(1), MaxValueValidator(64)]
    )
    memory_mib = models.PositiveIntegerField("memory (MiB)", validators=[MinValueValidator(64)])
    disk_gib = models.PositiveIntegerField("disk (GiB)", validators=[MinValueValidator(1)])
    projects = models.ManyToManyField(
        Project, blank=True, related_name="+", help_text="Who may use it; without any, everybody."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = FlavourQuerySet.as_manager()

    class Meta:
        ordering = ["memory_mib", "vcpus", "disk_gib", "name"]

    def __str__(self) -> str:
        return self.name

    @property
    def words(self) -> str:
        memory = self.memory_mib / 1024
        amount = f"{memory:.3g} GiB" if memory >= 1 else f"{self.memory_mib} MiB"
        return f"{self.vcpus} vCPU, {amount} memory, {self.disk_gib} GiB disk"
