"""Interfaces of hosts that operators have released, so that projects may put guests on them."""

from __future__ import annotations

from typing import Self
from uuid import uuid4

from django.db import models

from kvmweb.core.access import User, is_operator
from kvmweb.hosts.models import Host


class AttachmentQuerySet(models.QuerySet["Attachment"]):
    def visible_to(self, user: User) -> Self:
        """What is released is for everybody; hosts that take nothing new keep it to operators."""
        return self.all() if is_operator(user) else self.filter(host__maintenance=False)

    def writable_by(self, user: User) -> Self:
        return self.all() if is_operator(user) else self.none()


class Attachment(models.Model):
    """A bridge of a host, or an uplink by macvtap, that bridged networks may be on."""

    class Kind(models.TextChoices):
        BRIDGE = "bridge", "Bridge"
        UPLINK = "uplink", "Uplink, by macvtap"

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    host = models.ForeignKey(Host, on_delete=models.PROTECT, related_name="attachments")
    interface = models.CharField(max_length=15)
    kind = models.CharField(max_length=6, choices=Kind.choices)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = AttachmentQuerySet.as_manager()

    class Meta:
        ordering = ["host", "interface"]
        constraints = [
            models.UniqueConstraint(fields=["host", "interface"], name="attachment_once")
        ]

    def __str__(self) -> str:
        return f"{self.interface} of {self.host}"

    @property
    def is_filtered(self) -> bool:
        """Whether its guests' frames pass us: those of a macvtap do not."""
        return self.kind == self.Kind.BRIDGE
