"""Networks."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce

from kvmweb.core import names
from kvmweb.core.access import User
from kvmweb.core.choices import State
from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.jobs.models import heavy
from kvmweb.jobs.subjects import Subject
from kvmweb.projects.models import Project, seen_by, written_by
from networks.models.attachments import Attachment
from networks.models.ipv6 import WithIpv6
from networks.models.services import Services


class NetworkQuerySet(models.QuerySet["Network"]):
    def visible_to(self, user: User) -> Self:
        return self.filter(seen_by(user))

    def writable_by(self, user: User) -> Self:
        return self.filter(written_by(user))

    def for_display(self) -> Self:
        """With everything a list row, its state and its counts need, in one query."""
        rows = self.select_related("host", "job", "project", "usage")
        rows = rows.select_related("source_address", "source_address6", "attachment")
        rows = rows.prefetch_related("pool__public_address", "egress_rules")
        return rows.defer(*heavy("job")).annotate(
            vm_count=_count("reservations", nic__isnull=False),
            forward_count=_count("forwards"),
        )


def _count(relation: str, **only: Any) -> Coalesce:
    """How many present parts of a relation the network at hand has: a query of its own, so that
    counts do not multiply each other.
    """
    parts = Network._meta.get_field(relation).related_model._default_manager  # type: ignore[union-attr]
    own = parts.filter(network=models.OuterRef("pk"), present=True, **only).order_by()
    count = own.values("network").annotate(count=models.Count("pk")).values("count")
    return Coalesce(models.Subquery(count), 0)


class Network(WithIpv6, Services, Subject):
    """A private network on one host: a bridge, a subnet, and how it reaches the outside."""

    kind = "network"

    class Mode(models.TextChoices):
        NAT = "nat", "NAT: reaches the outside, unreachable from it but for forwards"
        ROUTED = "routed", "Routed: guests are seen and reached by their own addresses"
        ISOLATED = "isolated", "Isolated: guests reach each other only"
        BRIDGED = "bridged", "Bridged: guests are on an interface of the host itself"

    class Egress(models.TextChoices):
        ALLOWED = "allowed", "Everywhere"
        LISTED = "listed", "Only where it is listed"

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="networks")
    host = models.ForeignKey(Host, on_delete=models.PROTECT, related_name="networks")
    name = models.CharField(max_length=63)
    mode = models.CharField(max_length=8, choices=Mode.choices, default=Mode.NAT)
    ipv4_subnet = models.CharField(max_length=18, blank=True)
    transit_subnet = models.CharField(
        max_length=18,
        blank=True,
        default="",
        editable=False,
        help_text="With a router of its own: the subnet by which its host knows it.",
    )
    attachment = models.ForeignKey(
        Attachment,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="networks",
        help_text="The interface of the host that guests of a bridged network are on.",
    )
    guarded = models.BooleanField(
        default=True, help_text="Guests of a bridged network are closed but for what rules open."
    )
    source_address = models.ForeignKey(
        PublicAddress,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="networks",
        help_text="The public address guests are seen with outside; the first one of a pool.",
    )
    mtu = models.PositiveIntegerField("MTU", default=1500, help_text="Bytes of a packet at most.")
    egress = models.CharField(max_length=8, choices=Egress.choices, default=Egress.ALLOWED)
    guests_apart = models.BooleanField(
        default=False, help_text="Guests do not reach each other inside the network."
    )
    logs_refused = models.BooleanField(
        default=False,
        help_text="Its host notes what the firewall refuses to and from its guests.",
    )

    objects = NetworkQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "name"], condition=Q(present=True), name="network_name_once"
            ),
            models.UniqueConstraint(
                fields=["host", "transit_subnet"],
                condition=~Q(transit_subnet=""),
                name="transit_subnet_once",
            ),
            models.UniqueConstraint(
                fields=["host", "ipv6_subnet"],
                condition=~Q(ipv6_subnet=""),
                name="ipv6_subnet_once",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_bridged(self) -> bool:
        """Whether its guests have their addresses from outside; it then has no subnet."""
        return self.mode == Network.Mode.BRIDGED

    @property
    def is_filtered(self) -> bool:
        """Whether what its guests send and receive passes us."""
        return self.attachment is None or self.attachment.is_filtered

    @property
    def subnet(self) -> IPv4Network:
        return IPv4Network(self.ipv4_subnet)

    @property
    def own_router(self) -> bool:
        """Whether it may have a subnet that other networks of its host have too."""
        return bool(self.transit_subnet)

    @property
    def gateway(self) -> IPv4Address:
        """The bridge's own address: the first of the subnet."""
        return self.subnet.network_address + 1

    @property
    def sources(self) -> list[str]:
        """The public addresses its guests are seen with outside; none is the host's own."""
        pooled = [each.public_address.address for each in self.pool.all()]
        if pooled:
            return sorted(pooled, key=IPv4Address)
        return [self.source_address.address] if self.source_address else []

    @property
    def bridge(self) -> str:
        return names.bridge(self.pk)

    @property
    def place(self) -> str:
        """What people call where its guests are: its subnet, or the interface of the host."""
        return self.attachment.interface if self.attachment else self.ipv4_subnet

    @property
    def state(self) -> State:
        if (transition := self.transition) is not None:
            return State.SILENT if self._waits_in_vain(transition) else transition
        return State.ATTENTION if self.attention else State.ACTIVE

    def _waits_in_vain(self, transition: State) -> bool:
        return transition is not State.ATTENTION and self.host.is_silent
