"""The firewall of guests that are reachable as a whole: rule sets, and named sets of addresses."""

from __future__ import annotations

from typing import Self
from uuid import uuid4

from django.db import models
from django.db.models import Q

from kvmweb.core.access import User
from kvmweb.hosts.models import PORT_RANGE
from kvmweb.projects.models import Project, seen_by, written_by
from networks.inbound import ANYONE, ports_text
from networks.models.networks import Network
from networks.models.parts import Reservation


class AddressSetQuerySet(models.QuerySet["AddressSet"]):
    def visible_to(self, user: User) -> Self:
        return self.filter(seen_by(user))

    def writable_by(self, user: User) -> Self:
        return self.filter(written_by(user))

    def for_display(self) -> Self:
        used = models.Count("rules__rule_set", distinct=True)
        return self.select_related("project").annotate(used=used)


class AddressSet(models.Model):
    """Addresses and networks under a name, for the rules of a project."""

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="address_sets")
    name = models.CharField(max_length=63)
    networks = models.JSONField(default=list, help_text="In CIDR notation, of either family.")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = AddressSetQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="address_set_name_once")
        ]

    def __str__(self) -> str:
        return self.name


class RuleSetQuerySet(models.QuerySet["RuleSet"]):
    def visible_to(self, user: User) -> Self:
        return self.filter(seen_by(user))

    def writable_by(self, user: User) -> Self:
        return self.filter(written_by(user))

    def with_rules(self) -> Self:
        rules = Rule.objects.select_related("address_set")
        return self.prefetch_related(models.Prefetch("rules", rules))

    def for_display(self) -> Self:
        """With its rules and what it is applied to, in a constant number of queries."""
        networks = Network.objects.filter(present=True).only("uuid", "name")
        reservations = Reservation.objects.filter(present=True).select_related("network")
        return (
            self.with_rules()
            .select_related("project")
            .prefetch_related(
                models.Prefetch("networks", networks),
                models.Prefetch("reservations", reservations),
            )
        )


class RuleSet(models.Model):
    """Rules that open guests, under a name. Applied to networks and to single reservations."""

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="rule_sets")
    name = models.CharField(max_length=63)
    networks = models.ManyToManyField(Network, related_name="rule_sets", editable=False)
    reservations = models.ManyToManyField(Reservation, related_name="rule_sets", editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = RuleSetQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="rule_set_name_once")
        ]

    def __str__(self) -> str:
        return self.name

    def affected(self) -> models.QuerySet[Network]:
        """The networks whose guests it opens, itself or through a reservation."""
        of_it = Q(rule_sets=self) | Q(reservations__rule_sets=self)
        return Network.objects.filter(of_it, present=True).distinct()


class RuleQuerySet(models.QuerySet["Rule"]):
    def visible_to(self, user: User) -> Self:
        return self.filter(seen_by(user, "rule_set__project"))

    def writable_by(self, user: User) -> Self:
        return self.filter(written_by(user, "rule_set__project"))


class Rule(models.Model):
    """One opening: who (`sources`, or an address set; none of both is anyone) may reach what."""

    class Protocol(models.TextChoices):
        TCP = "tcp", "TCP"
        UDP = "udp", "UDP"
        ICMP = "icmp", "Ping"
        ANY = "any", "Everything"

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    rule_set = models.ForeignKey(RuleSet, on_delete=models.CASCADE, related_name="rules")
    protocol = models.CharField(max_length=4, choices=Protocol.choices, default=Protocol.TCP)
    first_port = models.PositiveIntegerField(null=True, blank=True, validators=PORT_RANGE)
    last_port = models.PositiveIntegerField(null=True, blank=True, validators=PORT_RANGE)
    sources = models.JSONField(default=list, blank=True)
    address_set = models.ForeignKey(
        AddressSet, null=True, blank=True, on_delete=models.PROTECT, related_name="rules"
    )
    note = models.CharField(max_length=200, blank=True)

    objects = RuleQuerySet.as_manager()

    class Meta:
        ordering = ["rule_set", "pk"]

    def __str__(self) -> str:
        """As a sentence of it: TCP 443 from office."""
        name = self.Protocol(self.protocol).label
        ports = f" {self.ports or 'all ports'}" if self.span else ""
        return f"{name}{ports} from {self.who}"

    @property
    def who(self) -> str:
        if self.address_set:
            return self.address_set.name
        return ", ".join(self.sources) or "anyone"

    @property
    def span(self) -> tuple[int, int] | None:
        """First and last port, None where the protocol has none."""
        if self.first_port is None or self.last_port is None:
            return None
        return self.first_port, self.last_port

    @property
    def ports(self) -> str:
        """As typed: "443", "8000-8100", or empty for all."""
        return ports_text(self.span)

    @property
    def admitted(self) -> list[str]:
        """Who may come, in CIDR notation; nobody where its address set is empty."""
        if self.address_set:
            return list(self.address_set.networks)
        return list(self.sources) or list(ANYONE)
