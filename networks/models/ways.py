"""How a network goes out: the addresses its guests share, and the places it lists."""

from __future__ import annotations

from django.core.validators import MaxValueValidator
from django.db import models

from kvmweb.hosts.models import PublicAddress
from networks.models.networks import Network


class PoolAddress(models.Model):
    """A public address that a network's guests are spread over."""

    network = models.ForeignKey(Network, on_delete=models.CASCADE, related_name="pool")
    public_address = models.ForeignKey(
        PublicAddress, on_delete=models.PROTECT, related_name="pooled"
    )

    class Meta:
        ordering = ["network", "public_address"]
        verbose_name_plural = "pool addresses"
        constraints = [
            models.UniqueConstraint(fields=["network", "public_address"], name="pooled_once"),
        ]

    def __str__(self) -> str:
        return f"{self.public_address} of {self.network}"


class EgressRule(models.Model):
    """A place outside that a network lists: all of a protocol there, or some ports of it.

    A `last_port` of 0 means all ports.
    """

    class Protocol(models.TextChoices):
        ANY = "any", "Everything"
        TCP = "tcp", "TCP"
        UDP = "udp", "UDP"
        ICMP = "icmp", "ICMP (ping)"

    network = models.ForeignKey(Network, on_delete=models.CASCADE, related_name="egress_rules")
    cidr = models.CharField(max_length=43)
    protocol = models.CharField(max_length=4, choices=Protocol.choices)
    first_port = models.PositiveIntegerField(default=0, validators=[MaxValueValidator(65535)])
    last_port = models.PositiveIntegerField(default=0, validators=[MaxValueValidator(65535)])

    class Meta:
        ordering = ["network", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(first_port__lte=models.F("last_port")),
                name="egress_ports_in_order",
            ),
        ]

    def __str__(self) -> str:
        ports = f" {self.ports}" if self.ports else ""
        return f"{self.protocol}{ports} to {self.cidr}"

    @property
    def ports(self) -> str:
        """Such as `443` or `80-90`; empty for all."""
        if not self.last_port:
            return ""
        if self.first_port == self.last_port:
            return str(self.first_port)
        return f"{self.first_port}-{self.last_port}"
