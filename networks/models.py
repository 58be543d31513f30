"""Networks, reservations (a MAC and address fixed in one), forwards, and the ports they claim."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any, Self, TypeVar
from uuid import uuid4

from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce

from kvmweb.core import names
from kvmweb.core.access import User
from kvmweb.core.choices import State
from kvmweb.hosts.models import PORT_RANGE, Host, PublicAddress
from kvmweb.jobs.models import Job, heavy
from kvmweb.jobs.subjects import Subject
from kvmweb.projects.models import Project, seen_by, written_by

M = TypeVar("M", bound=models.Model)


class NetworkQuerySet(models.QuerySet["Network"]):
    def visible_to(self, user: User) -> Self:
        return self.filter(seen_by(user))

    def writable_by(self, user: User) -> Self:
        return self.filter(written_by(user))

    def for_display(self) -> Self:
        """With everything a list row, its state and its counts need, in one query."""
        rows = self.select_related("host", "job", "project", "source_address")
        return rows.defer(*heavy("job")).annotate(
            vm_count=_count(Reservation.objects.filter(nic__isnull=False)),
            forward_count=_count(Forward.objects.all()),
        )


def _count(parts: models.QuerySet[Any]) -> Coalesce:
    """How many of `parts` the network at hand has: a query of its own, so that counts do not
    multiply each other.
    """
    own = parts.filter(network=models.OuterRef("pk"), present=True).order_by()
    count = own.values("network").annotate(count=models.Count("pk")).values("count")
    return Coalesce(models.Subquery(count), 0)


def _network() -> models.Prefetch[str]:
    """The network of parts with all that their state needs: once, however many parts it has."""
    rows = Network.objects.select_related("host", "job", "project").defer(*heavy("job"))
    return models.Prefetch("network", rows)


class Network(Subject):
    """A private network on one host: a bridge, a subnet, and how it reaches the outside."""

    kind = "network"

    class Mode(models.TextChoices):
        NAT = "nat", "NAT: reaches the outside, unreachable from it but for forwards"
        ISOLATED = "isolated", "Isolated: guests reach each other only"

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="networks")
    host = models.ForeignKey(Host, on_delete=models.PROTECT, related_name="networks")
    name = models.CharField(max_length=63)
    mode = models.CharField(max_length=8, choices=Mode.choices, default=Mode.NAT)
    ipv4_subnet = models.CharField(max_length=18)
    source_address = models.ForeignKey(
        PublicAddress,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="networks",
        help_text="The public address guests are seen with outside.",
    )

    objects = NetworkQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "name"], condition=Q(present=True), name="network_name_once"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def subnet(self) -> IPv4Network:
        return IPv4Network(self.ipv4_subnet)

    @property
    def gateway(self) -> IPv4Address:
        """The bridge's own address: the first of the subnet."""
        return self.subnet.network_address + 1

    @property
    def bridge(self) -> str:
        return names.bridge(self.pk)

    @property
    def state(self) -> State:
        if (transition := self.transition) is not None:
            return State.SILENT if self._waits_in_vain(transition) else transition
        return State.ATTENTION if self.attention else State.ACTIVE

    def _waits_in_vain(self, transition: State) -> bool:
        return transition is not State.ATTENTION and self.host.is_silent


class PartQuerySet(models.QuerySet[M]):
    """Rows that are part of a network and belong to whom it belongs."""

    def visible_to(self, user: User) -> Self:
        return self.filter(seen_by(user, "network__project"))

    def writable_by(self, user: User) -> Self:
        return self.filter(written_by(user, "network__project"))

    def present(self) -> Self:
        return self.filter(present=True)


class Part(models.Model):
    """A row that is applied with its network.

    `since` is the network's generation that first had (or dropped) it.
    """

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    network = models.ForeignKey(Network, on_delete=models.CASCADE, related_name="%(class)ss")
    present = models.BooleanField(default=True, editable=False)
    since = models.PositiveBigIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True

    @property
    def project(self) -> Project:
        return self.network.project

    @property
    def job(self) -> Job | None:
        """The newest job of the network, which brings this row to the host too."""
        return self.network.job

    @property
    def problem(self) -> str:
        """Why the host could not apply this one object; empty when it could."""
        return str(self.network.attention.get(str(self.uuid), ""))

    @property
    def state(self) -> State:
        if self.problem:
            return State.ATTENTION
        if self.present and self.network.applied_generation >= self.since:
            return State.ACTIVE
        if self.network.state in (State.ATTENTION, State.SILENT):
            return self.network.state
        return State.CREATING if self.present else State.DELETING


class ReservationQuerySet(PartQuerySet["Reservation"]):
    def for_display(self) -> Self:
        """With their network's state and the forwards that lead to them."""
        forwards = Forward.objects.filter(present=True).prefetch_related("public_address")
        return self.prefetch_related(
            _network(), models.Prefetch("forwards", forwards, to_attr="open_forwards")
        )


class Reservation(Part):
    """A MAC and an address fixed in a network.

    Forwards and NICs point here, so both survive a rebuilt VM.
    """

    name = models.CharField(max_length=63)
    mac = models.CharField("MAC address", max_length=17, unique=True)
    address = models.GenericIPAddressField(protocol="IPv4")

    objects = ReservationQuerySet.as_manager()

    class Meta:
        ordering = ["network", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["network", "address"], name="address_once"),
            models.UniqueConstraint(
                fields=["network", "name"], condition=Q(present=True), name="reservation_name_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.address}"

    @property
    def port(self) -> str:
        """The tap that may use this MAC and address."""
        return names.port(self.pk)


class ForwardQuerySet(PartQuerySet["Forward"]):
    def for_display(self) -> Self:
        return self.select_related("reservation").prefetch_related(_network(), "public_address")


class Forward(Part):
    """A port of a public address that leads to a port of a reservation (DNAT).

    Its number is its ct mark.
    """

    class Protocol(models.TextChoices):
        TCP = "tcp", "TCP"
        UDP = "udp", "UDP"
        BOTH = "tcp+udp", "TCP and UDP"

    reservation = models.ForeignKey(Reservation, on_delete=models.CASCADE, related_name="forwards")
    public_address = models.ForeignKey(
        PublicAddress, on_delete=models.PROTECT, related_name="forwards"
    )
    protocol = models.CharField(max_length=7, choices=Protocol.choices, default=Protocol.TCP)
    public_port = models.PositiveIntegerField(validators=PORT_RANGE)
    target_port = models.PositiveIntegerField(validators=PORT_RANGE)
    note = models.CharField(max_length=200, blank=True)

    objects = ForwardQuerySet.as_manager()

    class Meta:
        ordering = ["public_address", "public_port", "pk"]

    def __str__(self) -> str:
        return f"{self.public_endpoint} → {self.reservation.name}:{self.target_port}"

    @property
    def number(self) -> int:
        """The forward's ct mark (never 0)."""
        return int(self.pk)

    @property
    def public_endpoint(self) -> str:
        return f"{self.public_address.address}:{self.public_port}"

    @property
    def protocols(self) -> list[str]:
        return self.protocol.split("+")


class PortClaim(models.Model):
    """One port of one protocol of one public address, held by one forward.

    The database lets nobody take it twice.
    """

    public_address = models.ForeignKey(
        PublicAddress, on_delete=models.PROTECT, related_name="claims"
    )
    protocol = models.CharField(max_length=3)
    port = models.PositiveIntegerField(validators=PORT_RANGE)
    forward = models.ForeignKey(Forward, on_delete=models.CASCADE, related_name="claims")

    class Meta:
        ordering = ["public_address", "port", "protocol"]
        constraints = [
            models.UniqueConstraint(
                fields=["public_address", "protocol", "port"], name="port_claimed_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.public_address}:{self.port}/{self.protocol}"
