"""Host names that share ports 80 and 443 of a public address."""

from __future__ import annotations

from typing import Self

from django.db import models

from kvmweb.hosts.models import PORT_RANGE, PublicAddress
from networks.models.parts import Part, PartQuerySet, Reservation, network_for_display


class HostNameQuerySet(PartQuerySet["HostName"]):
    def for_display(self) -> Self:
        """With their network's state, where they lead and what they carried."""
        rows = self.select_related("reservation", "usage")
        return rows.prefetch_related(network_for_display(), "public_address")


class HostName(Part):
    """A name under which a public address leads to a reservation: HTTP on port 80 by the Host
    header, TLS on port 443 by the server name.

    A name is held once per public address, until the host has let go of it.
    """

    class Tls(models.TextChoices):
        OFF = "off", "Not served"
        PASSTHROUGH = "passthrough", "Passed on as it is; the VM has the certificate"

    reservation = models.ForeignKey(
        Reservation, on_delete=models.CASCADE, related_name="host_names"
    )
    public_address = models.ForeignKey(
        PublicAddress, on_delete=models.PROTECT, related_name="host_names"
    )
    name = models.CharField(max_length=253)
    http_port = models.PositiveIntegerField(null=True, blank=True, validators=PORT_RANGE)
    tls = models.CharField(
        "TLS on port 443", max_length=11, choices=Tls.choices, default=Tls.PASSTHROUGH
    )
    tls_port = models.PositiveIntegerField(null=True, blank=True, validators=PORT_RANGE)
    proxy_protocol = models.BooleanField(default=False)
    note = models.CharField(max_length=200, blank=True)

    objects = HostNameQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["public_address", "name"], name="host_name_once"),
        ]

    def __str__(self) -> str:
        return f"{self.name} → {self.reservation.name}"

    @property
    def number(self) -> int:
        """The number of its counters on the host."""
        return int(self.pk)

    @property
    def is_wildcard(self) -> bool:
        """Whether it stands for every name with one more label."""
        return self.name.startswith("*.")

    @property
    def urls(self) -> list[str]:
        """What people open, TLS first; none for a wildcard."""
        if self.is_wildcard:
            return []
        secure = [f"https://{self.name}/"] if self.tls != self.Tls.OFF else []
        return secure + ([f"http://{self.name}/"] if self.http_port else [])
