"""Consoles: offered by a ticket, then open, then ended. A row is one person at one console."""

from __future__ import annotations

from datetime import timedelta
from typing import Self
from uuid import uuid4

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from kvmweb.core.access import User
from kvmweb.projects.models import seen_by, written_by
from vms.models.vms import Vm

SILENT = timedelta(seconds=45)
"""After so long without word from its process a console is taken for ended."""


class ConsoleQuerySet(models.QuerySet["Console"]):
    def visible_to(self, user: User) -> Self:
        return self.filter(seen_by(user, "vm__project"))

    def writable_by(self, user: User) -> Self:
        return self.filter(written_by(user, "vm__project"))

    def open(self) -> Self:
        """Those that somebody looks at now."""
        heard_after = timezone.now() - SILENT
        return self.filter(opened_at__isnull=False, ended_at=None, seen_at__gte=heard_after)

    def beside(self, console: Console) -> Self:
        """Those that show the same, itself included."""
        return self.filter(vm_id=console.vm_id, kind=console.kind)


class Console(models.Model):
    """`holder` is the session or token that the ticket was given to, and the only one that may use
    it; of the ticket only the SHA-256 is kept. Of those who look at once, one `has_control`.
    """

    class Kind(models.TextChoices):
        GRAPHICAL = "graphical", "Screen"
        SERIAL = "serial", "Serial line"

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    vm = models.ForeignKey(Vm, on_delete=models.CASCADE, related_name="consoles")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="consoles"
    )
    kind = models.CharField(max_length=9, choices=Kind.choices)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    holder = models.CharField(max_length=80, editable=False)
    source = models.CharField(max_length=45, blank=True, help_text="The address it came from.")
    token = models.CharField(max_length=12, blank=True, help_text="Prefix of the API token used.")
    has_control = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    opened_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    objects = ConsoleQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["vm", "kind"],
                condition=Q(has_control=True, ended_at=None),
                name="one_types_at_a_console",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.vm}"
