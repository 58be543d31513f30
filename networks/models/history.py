"""Who had a public address and port, and when: kept after everything it names is gone."""

from __future__ import annotations

from typing import Self
from uuid import uuid4

from django.db import models
from django.db.models import Q

from kvmweb.hosts.models import OperatorsQuerySet
from networks.models.host_names import HostName
from networks.models.networks import Network
from networks.models.parts import Forward


class HoldingQuerySet(OperatorsQuerySet["Holding"]):
    def open(self) -> Self:
        return self.filter(until__isnull=True)

    def for_display(self) -> Self:
        return self.select_related("forward", "name", "network")


class Holding(models.Model):
    """A public address, ports of it, or a host name on one of them (`served_name`), that led to a
    guest or that a network's guests went out by.

    Everything it tells of others is a copy; `forward`, `name`, `network` are there while they are.
    `first_port` to `last_port` is one port, a range, or all of them; the protocol "any" is all.
    """

    class Way(models.TextChoices):
        IN = "in", "Led to"
        OUT = "out", "Went out by it"

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    way = models.CharField(max_length=3, choices=Way.choices, editable=False)
    public_address = models.GenericIPAddressField(editable=False)
    protocol = models.CharField(max_length=7, editable=False)
    first_port = models.PositiveIntegerField(editable=False)
    last_port = models.PositiveIntegerField(editable=False)
    served_name = models.CharField("host name", max_length=253, blank=True, editable=False)
    host_name = models.CharField("host", max_length=32, editable=False)
    project_name = models.CharField(max_length=63, editable=False)
    project_uuid = models.UUIDField(editable=False)
    network_name = models.CharField(max_length=63, editable=False)
    network_uuid = models.UUIDField(editable=False)
    guest_name = models.CharField(max_length=63, blank=True, editable=False)
    guest_address = models.CharField(max_length=45, blank=True, editable=False)
    guest_mac = models.CharField(max_length=17, blank=True, editable=False)
    since = models.DateTimeField(editable=False)
    until = models.DateTimeField(null=True, editable=False)
    forward = models.ForeignKey(
        Forward, null=True, on_delete=models.SET_NULL, related_name="holdings", editable=False
    )
    name = models.ForeignKey(
        HostName, null=True, on_delete=models.SET_NULL, related_name="holdings", editable=False
    )
    network = models.ForeignKey(
        Network, null=True, on_delete=models.SET_NULL, related_name="holdings", editable=False
    )

    objects = HoldingQuerySet.as_manager()

    class Meta:
        ordering = ["-since", "-pk"]
        indexes = [
            models.Index(fields=["public_address", "first_port"], name="who_had_it"),
            models.Index(fields=["served_name"], name="who_had_the_name"),
            models.Index(fields=["network"], condition=Q(until__isnull=True), name="who_has_it"),
        ]

    def __str__(self) -> str:
        return f"{self.public_address} {self.ports} {self.protocol}"

    @property
    def ports(self) -> str:
        """The ports as people write them."""
        if self.first_port == 0:
            return "all ports"
        if self.first_port == self.last_port:
            return str(self.first_port)
        return f"{self.first_port}–{self.last_port}"
