"""What guests hold by DHCP: observed, written by the control worker alone."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.utils import timezone

from kvmweb.core.access import User
from kvmweb.projects.models import seen_by, written_by
from networks.models.parts import Reservation


class LeaseQuerySet(models.QuerySet["Lease"]):
    def visible_to(self, user: User) -> Self:
        return self.filter(seen_by(user, "reservation__network__project"))

    def writable_by(self, user: User) -> Self:
        return self.filter(written_by(user, "reservation__network__project"))


class Lease(models.Model):
    """The address a guest took, until when, and what it calls itself."""

    reservation = models.OneToOneField(Reservation, on_delete=models.CASCADE, related_name="lease")
    address = models.GenericIPAddressField(protocol="IPv4", editable=False)
    hostname = models.CharField(max_length=255, blank=True, editable=False)
    expires_at = models.DateTimeField(editable=False)
    seen_at = models.DateTimeField(editable=False)

    objects = LeaseQuerySet.as_manager()

    class Meta:
        ordering = ["reservation__address"]

    def __str__(self) -> str:
        return f"{self.address} until {self.expires_at:%Y-%m-%d %H:%M}"

    @property
    def is_over(self) -> bool:
        """Whether the guest let it run out: it is off, or asks no more."""
        return self.expires_at <= timezone.now()

    @property
    def is_outdated(self) -> bool:
        """Whether the guest has yet to take the address that is reserved for it now."""
        return self.address != self.reservation.address
