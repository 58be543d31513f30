"""Small pictures of what guests show."""

from __future__ import annotations

from typing import Self

from django.db import models

from kvmweb.core.access import User
from kvmweb.projects.models import seen_by
from vms.models.vms import Vm


class PictureQuerySet(models.QuerySet["Picture"]):
    def visible_to(self, user: User) -> Self:
        return self.filter(seen_by(user, "vm__project"))


class Picture(models.Model):
    """The newest of a VM: a PNG of some kilobytes."""

    vm = models.OneToOneField(Vm, on_delete=models.CASCADE, related_name="picture")
    png = models.BinaryField()
    taken_at = models.DateTimeField()

    objects = PictureQuerySet.as_manager()

    class Meta:
        ordering = ["-taken_at"]

    def __str__(self) -> str:
        return f"Picture of {self.vm}"
