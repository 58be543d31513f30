"""Host names that share ports 80 and 443 of a public address, and their certificates."""

from __future__ import annotations

from datetime import timedelta
from typing import Self
from uuid import uuid4

from django.db import models
from django.db.models import Q
from django.utils import timezone

from kvmweb.hosts.models import PORT_RANGE, PublicAddress
from networks.models.panel import PanelName
from networks.models.parts import PartQuerySet, Reservation, WayIn, network_for_display

RENEWED_BEFORE = timedelta(days=21)


class HostNameQuerySet(PartQuerySet["HostName"]):
    def for_display(self) -> Self:
        """With their network's state, where they lead and what they carried."""
        rows = self.select_related("reservation", "usage", "certificate")
        rows = rows.defer("certificate__chain", "certificate__concealed_key")
        return rows.prefetch_related(network_for_display(), "public_address")


class HostName(WayIn):
    """A name under which a public address leads to a reservation: HTTP on port 80 by the Host
    header, TLS on port 443 by the server name. TLS that is ended here has a `certificate`.

    A name is held once per public address, until the host has let go of it, also while it is
    paused.
    """

    class Tls(models.TextChoices):
        OFF = "off", "Not served"
        PASSTHROUGH = "passthrough", "Passed on as it is; the VM has the certificate"
        TERMINATE = "terminate", "Ended here, with a certificate you give"

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
    reencrypt = models.BooleanField("TLS to the VM too", default=False)
    redirect = models.BooleanField("port 80 sends to TLS", default=False)
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
    def target_address(self) -> str:
        """Where it leads: to the address of the family it is served on if the VM has one."""
        own = self.network.address6_of(self.reservation.mac) if self.public_address.is_ipv6 else ""
        return own or self.reservation.address or ""

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
        return secure + ([f"http://{self.name}/"] if self.http_port and not self.redirect else [])

    @property
    def own_certificate(self) -> Certificate | None:
        """What it is served with, if TLS ends here."""
        return getattr(self, "certificate", None)


class Certificate(models.Model):
    """The certificates of a host name, or of a name of the panel, and their key.

    The key is encrypted (`networks.certificates`) and leaves the database for the name's host
    alone; no page, answer or list shows it.
    """

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    host_name = models.OneToOneField(
        HostName, null=True, on_delete=models.CASCADE, related_name="certificate", editable=False
    )
    panel_name = models.OneToOneField(
        PanelName, null=True, on_delete=models.CASCADE, related_name="certificate", editable=False
    )
    chain = models.TextField("certificates (PEM)", editable=False)
    concealed_key = models.TextField(editable=False)
    fingerprint = models.CharField("SHA-256 fingerprint", max_length=64, editable=False)
    names = models.JSONField(default=list, editable=False)
    issuer = models.CharField(max_length=255, editable=False)
    not_before = models.DateTimeField("valid from", editable=False)
    not_after = models.DateTimeField("valid until", editable=False, db_index=True)
    given_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["not_after", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(host_name__isnull=True) ^ Q(panel_name__isnull=True),
                name="certificate_of_one",
            )
        ]

    def __str__(self) -> str:
        return f"{', '.join(self.names)} until {self.not_after:%Y-%m-%d}"

    @property
    def is_expired(self) -> bool:
        return self.not_after <= timezone.now()

    @property
    def ends_soon(self) -> bool:
        """Whether it is time to give another one."""
        return self.not_after - timezone.now() <= RENEWED_BEFORE
