"""Remedies that operators had hosts apply."""

from __future__ import annotations

from uuid import uuid4

from django.conf import settings
from django.db import models

from kvmweb.core.choices import State
from kvmweb.hosts.models import Host, OperatorsQuerySet


class RemedyQuerySet(OperatorsQuerySet["Remedy"]):
    pass


class Remedy(models.Model):
    """`finding` is the id of what was found, `does` what the host said it would run. `message` says
    why it did not help; `ended_at` is empty until the host has answered."""

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="remedies")
    finding = models.CharField(max_length=500, editable=False)
    found = models.TextField(editable=False)
    does = models.TextField(editable=False)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    asked_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, editable=False)
    message = models.TextField(blank=True, editable=False)

    objects = RemedyQuerySet.as_manager()

    class Meta:
        ordering = ["-asked_at", "-pk"]
        verbose_name_plural = "remedies"

    def __str__(self) -> str:
        return f"{self.finding} on {self.host}"

    @property
    def state(self) -> State:
        if self.ended_at is None:
            return State.WAITING
        return State.ATTENTION if self.message else State.REPAIRED
