"""What the firewall of a host refused lately to and from guests, asked for now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar
from urllib.parse import urlencode

import msgspec
from django.db import models
from django.urls import reverse
from django.utils import timezone

from kvmweb.core.errors import Conflict
from networks import bridged
from networks.flows import Of
from networks.models import Forward, Network, Reservation
from networks.models.parts import endpoint

MOST = 500
REMEMBERED = 10
"""Minutes after which a host forgets what it has not seen again."""


class Reason(models.TextChoices):
    """Why it was refused."""

    CLOSED = "closed", "Closed: no rule opens it"
    SOURCE = "source", "Not among those who may use the forward"
    LIMIT = "limit", "Over the limit of the forward"
    EGRESS = "egress", "Not listed where guests may go"
    APART = "apart", "There is no way from this network there"
    FORGED = "forged", "Sent from an address that is not the guest's"
    HOST = "host", "The host answers its guests DHCP, names and ping alone"


class Told(msgspec.Struct, frozen=True):
    """As its host tells it, see `networks.host.refused.ShownRefusal`."""

    reason: str
    guest: str
    forward: str
    source: str
    destination: str
    protocol: str
    port: int
    packets: int
    ago: float


class Answer(msgspec.Struct, frozen=True):
    logs: bool
    total: int = 0
    refused: list[Told] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Packets that were refused for one reason, `at` the last of them. Without a `source` they came
    from a guest of another network; `allow` is where a person would let them through."""

    told: Told
    at: datetime
    network: Network
    guest: Reservation | None
    forward: Forward | None

    _OUTWARD: ClassVar[frozenset[str]] = frozenset(
        {Reason.EGRESS, Reason.APART, Reason.FORGED, Reason.HOST}
    )

    @property
    def why(self) -> str:
        return str(Reason(self.told.reason).label)

    @property
    def is_outward(self) -> bool:
        return self.told.reason in self._OUTWARD

    @property
    def target(self) -> str:
        """The destination with its port."""
        told = self.told
        return endpoint(told.destination, told.port) if told.port else told.destination

    @property
    def allow(self) -> str:
        """The page, filled in, where this is let through; empty where there is none."""
        told = self.told
        if told.reason == Reason.EGRESS:
            line = " ".join(each for each in (told.destination, self._word, self._ports) if each)
            return _filled("network-settings", self.network, place=line)
        if not told.source:
            return ""
        if told.reason == Reason.SOURCE and self.forward is not None:
            return _filled("forward", self.forward, allow=told.source)
        return self._rule() if told.reason == Reason.CLOSED else ""

    @property
    def _word(self) -> str:
        known = {"tcp": "tcp", "udp": "udp", "icmp": "icmp", "icmpv6": "icmp"}
        return known.get(self.told.protocol, "any")

    @property
    def _ports(self) -> str:
        return str(self.told.port) if self.told.port else ""

    def _rule(self) -> str:
        """A rule set of the guest's own, else one of its network, else where one is chosen."""
        if self.guest is None:
            return ""
        own = [*self.guest.rule_sets.all(), *self.network.rule_sets.all()]
        if not own:
            return reverse("reservation-firewall", args=[self.guest.uuid])
        wanted = {"protocol": self._word, "ports": self._ports, "sources": self.told.source}
        return _filled("rule-set", own[0], **wanted)


def _filled(page: str, subject: models.Model, **fields: str) -> str:
    return f"{reverse(page, args=[subject.uuid])}?{urlencode(fields)}"  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The latest of `total`; `logs` says whether anything is noted."""

    logs: bool
    total: int
    refused: list[Refused]


def networks_of(of: Of) -> list[Network]:
    return [network for network, _ in of.guests] or [of.network]


def is_filtered(network: Network) -> bool:
    """Whether anything of its guests is refused here."""
    return network.is_filtered


def unnoted(of: Of) -> Conflict | None:
    """Why nothing can be told, if so: what its guests send and receive passes the host by."""
    return bridged.unfiltered(of.network)


def is_noted(of: Of) -> bool:
    """Whether any of the networks wants it."""
    return any(network.logs_refused for network in networks_of(of))


def refused(of: Of, *, limit: int = 100) -> Listing:
    """What there is, the latest first. No host is asked where nobody wants it noted. Raises
    `HostSilent`, and where it is `unnoted`."""
    if why := unnoted(of):
        raise why
    if not is_noted(of):
        return Listing(logs=False, total=0, refused=[])
    most, now = min(limit, MOST), timezone.now()
    answers = [msgspec.convert(each, Answer) for each in of.asked("refused", limit=most)]
    found = [
        one
        for network, answer in zip(networks_of(of), answers, strict=True)
        for one in _known(network, answer.refused, now)
    ]
    found.sort(key=lambda one: one.at, reverse=True)
    return Listing(
        logs=any(each.logs for each in answers),
        total=sum(each.total for each in answers),
        refused=found[:most],
    )


def _known(network: Network, told: list[Told], now: datetime) -> Iterator[Refused]:
    """With the rows of this network alone, whatever the host says."""
    rows = network.reservations.filter(uuid__in={each.guest for each in told if each.guest})
    guests = {str(row.uuid): row for row in rows.prefetch_related("rule_sets")}
    ids = {each.forward for each in told if each.forward}
    forwards = {str(row.uuid): row for row in network.forwards.filter(uuid__in=ids).for_display()}
    for each in told:
        yield Refused(
            told=each,
            at=now - timedelta(seconds=each.ago),
            network=network,
            guest=guests.get(each.guest),
            forward=forwards.get(each.forward),
        )
