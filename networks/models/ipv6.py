"""IPv6 of networks, beside their IPv4."""

from __future__ import annotations

from ipaddress import IPv6Network

from django.db import models

from kvmweb.core.ipv6 import interface_address
from kvmweb.hosts.models import PublicAddress


class Ipv6(models.TextChoices):
    OFF = "off", "None"
    NAT66 = "nat66", "Private: goes out with a public address of the host"
    ROUTED = "routed", "Routed: guests are seen outside by their own addresses"


class WithIpv6(models.Model):
    """A network's /64. Guests make their addresses of it themselves, see `kvmweb.core.ipv6`."""

    ipv6 = models.CharField("IPv6", max_length=6, choices=Ipv6.choices, default=Ipv6.OFF)
    ipv6_subnet = models.CharField("IPv6 subnet", max_length=43, blank=True, default="")
    source_address6 = models.ForeignKey(
        PublicAddress,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="networks6",
        help_text="The public IPv6 address guests are seen with outside.",
    )

    class Meta:
        abstract = True

    @property
    def subnet6(self) -> IPv6Network | None:
        return IPv6Network(self.ipv6_subnet) if self.ipv6_subnet else None

    @property
    def gateway6(self) -> str:
        """The bridge's own IPv6 address: the first of the subnet."""
        return str(self.subnet6.network_address + 1) if self.subnet6 else ""

    def address6_of(self, mac: str) -> str:
        """The one IPv6 address that a guest with this MAC has here; empty without IPv6."""
        return str(interface_address(self.subnet6, mac)) if self.subnet6 else ""
