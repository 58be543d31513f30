"""What forwards and networks have carried: observed, written by the control worker alone."""

from __future__ import annotations

from typing import Self

from django.db import models

from networks.models.host_names import HostName
from networks.models.networks import Network
from networks.models.parts import Forward


class Usage(models.Model):
    """Totals since the object was made.

    `seen` is what the host's kernel had counted when it was last heard, to tell what was added
    since from what has begun anew (`networks.usage`).
    """

    packets_in = models.BigIntegerField(default=0, editable=False)
    bytes_in = models.BigIntegerField(default=0, editable=False)
    packets_out = models.BigIntegerField(default=0, editable=False)
    bytes_out = models.BigIntegerField(default=0, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False, db_index=True)
    seen = models.JSONField(default=list, editable=False)

    class Meta:
        abstract = True

    @classmethod
    def of(cls, counted: models.Model) -> Self:
        """What an object has carried: nothing while its host has told nothing."""
        return getattr(counted, "usage", None) or cls()


class ForwardUsage(Usage):
    """Inward is from clients to the guest. `connections` were let through to the guest."""

    forward = models.OneToOneField(
        Forward, on_delete=models.CASCADE, related_name="usage", editable=False
    )
    connections = models.BigIntegerField(default=0, editable=False)

    class Meta:
        verbose_name_plural = "forward usage"

    def __str__(self) -> str:
        return f"{self.connections} connections"


class HostNameUsage(Usage):
    """As the proxy counted it: bytes of clients' requests and of answers, no packets.
    `connections` are requests on port 80, connections on port 443.
    """

    host_name = models.OneToOneField(
        HostName, on_delete=models.CASCADE, related_name="usage", editable=False
    )
    connections = models.BigIntegerField(default=0, editable=False)

    class Meta:
        verbose_name_plural = "host name usage"

    def __str__(self) -> str:
        return f"{self.connections} connections"


class NetworkUsage(Usage):
    """Inward is to guests. What guests of the network send to each other is not counted."""

    network = models.OneToOneField(
        Network, on_delete=models.CASCADE, related_name="usage", editable=False
    )

    class Meta:
        verbose_name_plural = "network usage"

    def __str__(self) -> str:
        return f"{self.bytes_in} B in, {self.bytes_out} B out"
