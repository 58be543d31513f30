"""What others changed on hosts, as the hosts found it: observed, written by the control worker."""

from __future__ import annotations

from typing import Self
from uuid import uuid4

from django.db import models

from kvmweb.core.access import User, is_operator
from kvmweb.core.choices import State
from kvmweb.hosts.models import Host
from networks.models.networks import Network


class DriftQuerySet(models.QuerySet["Drift"]):
    def visible_to(self, user: User) -> Self:
        """Members see what was changed of their networks, operators everything."""
        if is_operator(user):
            return self.all()
        return self.filter(network__in=Network.objects.visible_to(user))

    def writable_by(self, user: User) -> Self:
        """Nobody writes it; whoever may repair the network may have it repaired."""
        if is_operator(user):
            return self.all()
        return self.filter(network__in=Network.objects.writable_by(user))

    def open(self) -> Self:
        return self.filter(ended_at__isnull=True)

    def for_display(self) -> Self:
        return self.select_related("host", "network__project")


class Drift(models.Model):
    """A network that was not on its host as it should be.

    `missing` are the sentences of what had to be done, `ended_at` when it was found put right. What
    could not be repaired says why in `message`; `only_told` says that nobody was to try.
    """

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="drifts")
    network = models.ForeignKey(
        Network, null=True, on_delete=models.SET_NULL, related_name="drifts"
    )
    network_name = models.CharField(max_length=63, editable=False)
    at = models.DateTimeField(editable=False, db_index=True)
    missing = models.JSONField(default=list, editable=False)
    message = models.TextField(blank=True, editable=False)
    only_told = models.BooleanField(default=False, editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)

    objects = DriftQuerySet.as_manager()

    class Meta:
        ordering = ["-at", "-pk"]

    def __str__(self) -> str:
        return f"{self.network_name} on {self.host}"

    @property
    def state(self) -> State:
        return State.ATTENTION if self.ended_at is None else State.REPAIRED
