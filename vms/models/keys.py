"""SSH keys that people keep with their account, to be chosen for each new VM."""

from __future__ import annotations

from typing import Self
from uuid import uuid4

from django.conf import settings
from django.db import models

from kvmweb.core.access import User


class SshKeyQuerySet(models.QuerySet["SshKey"]):
    def visible_to(self, user: User) -> Self:
        """One's own alone, an operator's eyes included."""
        return self.filter(user_id=user.pk)

    def writable_by(self, user: User) -> Self:
        return self.visible_to(user)

    def for_display(self) -> Self:
        return self


class SshKey(models.Model):
    """A public key of a user; VMs carry copies, so removing it takes nobody's access away."""

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="ssh_keys"
    )
    name = models.CharField(max_length=63)
    public_key = models.TextField()
    fingerprint = models.CharField(max_length=60, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = SshKeyQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]
        verbose_name = "SSH key"
        constraints = [
            models.UniqueConstraint(fields=["user", "fingerprint"], name="ssh_key_once"),
        ]

    def __str__(self) -> str:
        return self.name
