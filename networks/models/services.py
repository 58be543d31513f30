"""What a network serves its guests: names and addresses."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from networks.models.bandwidth import Bandwidth

SHORTEST_LEASE, LONGEST_LEASE = 2, 7 * 24 * 60


class Services(Bandwidth):
    """The part of a network that says how its guests resolve names and get addresses, and how fast
    they are together.
    """

    dns_domain = models.CharField(
        "DNS domain",
        max_length=190,
        blank=True,
        help_text="Guests are NAME.DOMAIN; empty is the network's name and “internal”.",
    )
    dns_servers = models.JSONField(
        "DNS servers",
        default=list,
        blank=True,
        help_text="Whom the network asks for all other names; none are the host's own.",
    )
    range_first = models.GenericIPAddressField(protocol="IPv4", null=True, blank=True)
    range_last = models.GenericIPAddressField(protocol="IPv4", null=True, blank=True)
    lease_minutes = models.PositiveIntegerField(
        default=60,
        validators=[MinValueValidator(SHORTEST_LEASE), MaxValueValidator(LONGEST_LEASE)],
        help_text="How long a guest keeps an address before it asks again.",
    )

    class Meta:
        abstract = True

    name: models.CharField[str, str]

    @property
    def domain(self) -> str:
        """The domain its guests are in."""
        return self.dns_domain or f"{self.name}.internal"
