"""Images: what the disks of VMs are made from."""

from __future__ import annotations

from typing import Self
from uuid import uuid4

from django.db import models
from django.db.models import Q

from kvmweb.core.access import User, is_operator
from kvmweb.projects.models import Project, seen_by, written_by

MIB = 1024 * 1024
GIB = 1024 * MIB


class ImageQuerySet(models.QuerySet["Image"]):
    def visible_to(self, user: User) -> Self:
        """Public images (of no project) and those of the user's own projects."""
        if is_operator(user):
            return self.all()
        return self.filter(Q(project=None) | seen_by(user)).distinct()

    def writable_by(self, user: User) -> Self:
        return self.all() if is_operator(user) else self.filter(written_by(user))


class Image(models.Model):
    """A bootable disk image, known by its content. Without a project it is public."""

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    project = models.ForeignKey(
        Project, null=True, blank=True, on_delete=models.PROTECT, related_name="images"
    )
    name = models.CharField(max_length=63)
    description = models.CharField(max_length=200, blank=True)
    sha256 = models.CharField("SHA-256", max_length=64)
    size_bytes = models.PositiveBigIntegerField()
    virtual_size_bytes = models.PositiveBigIntegerField()
    source = models.CharField(
        max_length=500, help_text="Where hosts fetch it from: an absolute path or an http(s) URL."
    )
    min_memory_mib = models.PositiveIntegerField(default=128)
    default_user = models.CharField(max_length=32, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ImageQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["name"], condition=Q(project=None), name="public_image_name_once"
            ),
            models.UniqueConstraint(fields=["project", "name"], name="image_name_once"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def min_disk_gib(self) -> int:
        return max(1, -(-self.virtual_size_bytes // GIB))
