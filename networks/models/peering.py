"""Which networks of a project reach each other."""

from __future__ import annotations

from typing import Self
from uuid import uuid4

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Greatest, Least

from kvmweb.core.access import User
from kvmweb.jobs.models import Job, heavy
from kvmweb.projects.models import Project, seen_by, written_by
from networks.models.networks import Network


class PeeringQuerySet(models.QuerySet["Peering"]):
    def visible_to(self, user: User) -> Self:
        return self.filter(seen_by(user, "network__project"))

    def writable_by(self, user: User) -> Self:
        return self.filter(written_by(user, "network__project"))

    def of(self, network: Network) -> Self:
        """Those that a network asked for and those it was asked for."""
        return self.filter(Q(network=network) | Q(peer=network))

    def for_display(self) -> Self:
        """With all that an answer shows, in one query."""
        rows = self.select_related("network__project", "network__job", "peer__job")
        return rows.defer(*heavy("network__job"), *heavy("peer__job"))


class Peering(models.Model):
    """Two networks of one project and one host whose guests reach each other once `peer` agreed.

    Each network has its half on the host: that of `network`, which asked, from the beginning, that
    of `peer` when it has accepted. `since` is the generation of `network` that dropped it.
    """

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    network = models.ForeignKey(Network, on_delete=models.CASCADE, related_name="asked_for")
    peer = models.ForeignKey(Network, on_delete=models.CASCADE, related_name="asked_by")
    accepted = models.BooleanField(default=False)
    present = models.BooleanField(default=True, editable=False)
    since = models.PositiveBigIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = PeeringQuerySet.as_manager()

    class Meta:
        ordering = ["network", "peer", "pk"]
        constraints = [
            models.CheckConstraint(condition=~Q(network=F("peer")), name="peering_of_two"),
            models.UniqueConstraint(
                Least("network", "peer"),
                Greatest("network", "peer"),
                condition=Q(present=True),
                name="peering_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.network} ↔ {self.peer}"

    @property
    def project(self) -> Project:
        return self.network.project

    @property
    def job(self) -> Job | None:
        """The newest job that brings a half of it to the host."""
        changed = self.peer if self.accepted and self.present else self.network
        return changed.job

    def other(self, network: Network) -> Network:
        """The network at its other end."""
        return self.peer if network.pk == self.network_id else self.network
