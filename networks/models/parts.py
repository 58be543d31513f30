"""What is applied with its network: reservations, forwards, and the ports these claim."""

from __future__ import annotations

from datetime import timedelta
from typing import Self, TypeVar
from uuid import uuid4

from django.db import models
from django.db.models import Q
from django.utils import timezone

from kvmweb.core import names
from kvmweb.core.access import User
from kvmweb.core.choices import State
from kvmweb.hosts.models import PORT_RANGE, PublicAddress
from kvmweb.jobs.models import Job, heavy
from kvmweb.projects.models import Project, seen_by, written_by
from networks.models.bandwidth import Bandwidth
from networks.models.networks import Network

M = TypeVar("M", bound=models.Model)
WARNED_BEFORE = timedelta(hours=24)
_SHOWN_SOURCES = 3


def network_for_display() -> models.Prefetch[str]:
    """The network of parts with all that their state needs: once, however many parts it has."""
    rows = Network.objects.select_related("host", "job", "project").defer(*heavy("job"))
    return models.Prefetch("network", rows)


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
    def targets(self) -> Self:
        """Those that a new forward or host name may lead to."""
        rows = self.filter(present=True, parked=False, network__present=True)
        return rows.filter(network__mode__in=[Network.Mode.NAT, Network.Mode.ROUTED])

    def for_display(self) -> Self:
        """With their network's state and the forwards that lead to them."""
        forwards = Forward.objects.filter(present=True).prefetch_related("public_address")
        return self.prefetch_related(
            network_for_display(), models.Prefetch("forwards", forwards, to_attr="open_forwards")
        )


class Reservation(Bandwidth, Part):
    """A MAC and an address fixed in a network; in a bridged one, the MAC alone.

    Forwards and NICs point here, so both survive a rebuilt VM. What leads to a parked one is kept
    and closed on the host.
    """

    name = models.CharField(max_length=63)
    mac = models.CharField("MAC address", max_length=17, unique=True)
    address = models.GenericIPAddressField(protocol="IPv4", null=True, blank=True)
    parked = models.BooleanField(default=False, editable=False)

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
        return f"{self.name} {self.place}"

    @property
    def place(self) -> str:
        """What people call it beside its name: its address, or the MAC where it has none."""
        return self.address or self.mac

    @property
    def address6(self) -> str:
        """Its IPv6 address, which follows from its MAC; empty without IPv6."""
        return self.network.address6_of(self.mac)

    @property
    def port(self) -> str:
        """The tap that may use this MAC and address."""
        return names.port(self.pk)


class WayIn(Part):
    """What leads from outside to a reservation. A paused one keeps its place and is closed on the
    host; one that expires is paused by the sweep.
    """

    paused = models.BooleanField(default=False, editable=False)
    expires_at = models.DateTimeField("expires", null=True, blank=True, db_index=True)

    reservation: models.ForeignKey[Reservation, Reservation]

    class Meta:
        abstract = True

    @property
    def state(self) -> State:
        state = super().state
        closed = self.paused or self.reservation.parked
        return State.PAUSED if closed and state is State.ACTIVE else state

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @property
    def expires_soon(self) -> bool:
        """Whether it is time to warn of its end."""
        if self.expires_at is None or self.paused or self.is_expired:
            return False
        return self.expires_at - timezone.now() <= WARNED_BEFORE


class ForwardQuerySet(PartQuerySet["Forward"]):
    def for_display(self) -> Self:
        rows = self.select_related("reservation", "usage")
        return rows.prefetch_related(network_for_display(), "public_address")


class Forward(WayIn):
    """A port of a public address that leads to a port of a reservation (DNAT), or `ports` of them
    in a row, or the whole address (1:1 NAT, with ports 0).

    With `source_nat` what the guest begins itself leaves by the public address too. Its number is
    its ct mark. `sources` are networks in CIDR notation; none means anyone. A paused one keeps its
    ports.
    """

    class Protocol(models.TextChoices):
        TCP = "tcp", "TCP"
        UDP = "udp", "UDP"
        BOTH = "tcp+udp", "TCP and UDP"
        ALL = "all", "Everything (1:1)"

    reservation = models.ForeignKey(Reservation, on_delete=models.CASCADE, related_name="forwards")
    public_address = models.ForeignKey(
        PublicAddress, on_delete=models.PROTECT, related_name="forwards"
    )
    protocol = models.CharField(max_length=7, choices=Protocol.choices, default=Protocol.TCP)
    public_port = models.PositiveIntegerField(validators=PORT_RANGE)
    target_port = models.PositiveIntegerField(validators=PORT_RANGE)
    ports = models.PositiveIntegerField("ports in a row", default=1)
    source_nat = models.BooleanField("outgoing by it too", default=False)
    note = models.CharField(max_length=200, blank=True)
    sources = models.JSONField("allowed sources", default=list, blank=True)
    max_connections = models.PositiveIntegerField("connections at once", null=True, blank=True)
    max_rate = models.PositiveIntegerField("new connections per second", null=True, blank=True)
    max_burst = models.PositiveIntegerField("burst", null=True, blank=True)

    objects = ForwardQuerySet.as_manager()

    class Meta:
        ordering = ["public_address", "public_port", "pk"]

    def __str__(self) -> str:
        inside = f":{self._span(self.target_port)}" if not self.is_whole else ""
        return f"{self.public_endpoint} → {self.reservation.name}{inside}"

    @property
    def number(self) -> int:
        """The forward's ct mark (never 0)."""
        return int(self.pk)

    @property
    def public_endpoint(self) -> str:
        """Where people connect to; of a range its first and last port."""
        return self._endpoint(self.public_address.address, self.public_port)

    @property
    def target_address(self) -> str:
        """Where it leads: an address of the family it listens in."""
        if self.public_address.is_ipv6:
            return self.network.address6_of(self.reservation.mac)
        return self.reservation.address or ""

    @property
    def target_endpoint(self) -> str:
        """Where it leads, as `public_endpoint` is written."""
        return self._endpoint(self.target_address, self.target_port)

    def _endpoint(self, address: str, first: int) -> str:
        return address if self.is_whole else endpoint(address, self._span(first))

    def _span(self, first: int) -> str:
        return str(first) if self.ports == 1 else f"{first}-{first + self.ports - 1}"

    @property
    def is_whole(self) -> bool:
        """Whether it is 1:1 NAT."""
        return self.protocol == Forward.Protocol.ALL

    @property
    def public_port_end(self) -> int:
        """The last of its public ports."""
        return self.public_port + self.ports - 1

    @property
    def public_ports(self) -> range:
        return range(self.public_port, self.public_port_end + 1)

    @property
    def who(self) -> str:
        """Who may use it, for people."""
        shown = [single(source) for source in self.sources[:_SHOWN_SOURCES]]
        more = len(self.sources) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more else "") or "Anyone"

    @property
    def limits(self) -> list[str]:
        """Its limits, for people."""
        found = []
        if self.max_connections:
            found.append(f"at most {self.max_connections} connections")
        if self.max_rate:
            found.append(f"at most {self.max_rate} new a second")
        if self.source_nat and not self.is_whole:
            found.append("outgoing by it too")
        return found

    @property
    def protocols(self) -> list[str]:
        return self.protocol.split("+")


def single(source: str) -> str:
    """A network in CIDR notation; one of a single address as that address."""
    return source.removesuffix("/128" if ":" in source else "/32")


def endpoint(address: str, port: int | str) -> str:
    """Address and port as people and URLs write them (RFC 3986, section 3.2.2)."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


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
                fields=["public_address", "port", "protocol"], name="port_claimed_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.public_address}:{self.port}/{self.protocol}"
