"""What networks carried in each month: observed, written by the control worker alone."""

from __future__ import annotations

from typing import Self
from uuid import uuid4

from django.db import models

from kvmweb.core.access import User
from kvmweb.projects.models import Project, seen_by


class TrafficQuerySet(models.QuerySet["Traffic"]):
    def visible_to(self, user: User) -> Self:
        return self.filter(seen_by(user))


class Traffic(models.Model):
    """One network in one month (UTC, by its first day). Names are copies: what was carried is
    told after the network is gone. Inward is to guests."""

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, related_name="traffic", editable=False
    )
    month = models.DateField(editable=False)
    network = models.UUIDField(editable=False)
    network_name = models.CharField(max_length=63, editable=False)
    bytes_in = models.BigIntegerField(default=0, editable=False)
    bytes_out = models.BigIntegerField(default=0, editable=False)
    packets_in = models.BigIntegerField(default=0, editable=False)
    packets_out = models.BigIntegerField(default=0, editable=False)

    objects = TrafficQuerySet.as_manager()

    class Meta:
        ordering = ["-month", "network_name", "pk"]
        verbose_name_plural = "traffic"
        constraints = [
            models.UniqueConstraint(fields=["network", "month"], name="traffic_once_a_month"),
        ]
        indexes = [models.Index(fields=["project", "-month"], name="traffic_by_project")]

    def __str__(self) -> str:
        return f"{self.network_name} in {self.month:%Y-%m}"
