"""The panel as one of the names on a shared 443."""

from __future__ import annotations

from typing import ClassVar, Self

from django.conf import settings
from django.db import models

from kvmweb.core.choices import State
from kvmweb.hosts.models import PORT_RANGE, Host, OperatorsQuerySet, PublicAddress
from kvmweb.jobs.models import heavy
from kvmweb.jobs.subjects import Subject


class PanelNameQuerySet(OperatorsQuerySet["PanelName"]):
    def for_display(self) -> Self:
        """With their address, host, certificate and what is happening to them."""
        rows = self.select_related("public_address__host", "job", "certificate")
        return rows.defer(*heavy("job"), "certificate__chain", "certificate__concealed_key")


def panel_address() -> str:
    """Where the panel's web server listens, as its own machine reaches it."""
    return str(settings.KVMWEB_PANEL_ADDRESS)


def panel_port() -> int:
    return int(settings.KVMWEB_PANEL_PORT)


class PanelName(Subject):
    """A name under which a host serves the panel, with a certificate, on port 443 of a public
    address; port 80 sends there. `address` and `port` are where the host finds the panel. The
    panel's own address goes on working whatever becomes of it.
    """

    kind: ClassVar[str] = "panel"

    public_address = models.ForeignKey(
        PublicAddress, on_delete=models.PROTECT, related_name="panel_names"
    )
    name = models.CharField(max_length=253)
    address = models.GenericIPAddressField(
        "address of the panel", protocol="IPv4", default=panel_address
    )
    port = models.PositiveIntegerField(
        "port of the panel", default=panel_port, validators=PORT_RANGE
    )

    objects = PanelNameQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["public_address", "name"], name="panel_name_once")
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def host(self) -> Host:
        return self.public_address.host

    @property
    def url(self) -> str:
        return f"https://{self.name}/"

    @property
    def problem(self) -> str:
        """Why its host could not apply it; empty when it could."""
        return self.job.message if self.job is not None and self.job.has_failed else ""

    @property
    def state(self) -> State:
        return self.transition or State.ACTIVE
