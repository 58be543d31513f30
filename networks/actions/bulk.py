"""Many forwards in one request: all of them or none, and one job for each network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

from django.db import transaction
from django.db.models import Q

from kvmweb.core.errors import Invalid, KvmwebError, Several
from kvmweb.core.locks import lock
from kvmweb.hosts.models import PublicAddress
from kvmweb.jobs.dispatch import request
from kvmweb.projects.actions import Actor, audit
from networks import ports
from networks.actions.forwards import lock_public_address, named_addresses, open_port
from networks.actions.lookup import locked, named
from networks.models import Forward, Network, Reservation

MOST_FORWARDS = 1000

Options = Mapping[str, Any]
_PICKED = 2


def add_forwards(actor: Actor, entries: Sequence[Options]) -> list[Forward]:
    """Open many public ports, each entry being what `add_forward` takes.

    Raises `Several`, with fields such as `forwards.3.public_port`, when any of them is refused.
    """
    if not 1 <= len(entries) <= MOST_FORWARDS:
        raise Invalid(f"Send 1 to {MOST_FORWARDS} forwards at once.", field="forwards")
    with transaction.atomic():
        bulk = _Bulk(actor, entries)
        bulk.find_reservations()
        bulk.lock_addresses()
        bulk.lock_networks()
        bulk.open()
        forwards = bulk.opened()
        for network in bulk.networks.values():
            _tell(actor, network, [each for each in forwards if each.network_id == network.pk])
    return forwards


def _tell(actor: Actor, network: Network, forwards: list[Forward]) -> None:
    title = f"Forward {forwards[0]}" if len(forwards) == 1 else f"Forward {len(forwards)} ports"
    job = request(actor, network, title)
    for forward in forwards:
        audit(actor, "forward.create", forward, project=network.project, job=job.uuid)


class _Bulk:
    """What became of each entry so far, by its place in the request."""

    def __init__(self, actor: Actor, entries: Sequence[Options]) -> None:
        self.actor = actor
        self.entries = dict(enumerate(entries))
        self.reservations: dict[int, Reservation] = {}
        self.publics: dict[int, PublicAddress] = {}
        self.networks: dict[int, Network] = {}
        self.forwards: dict[int, Forward] = {}
        self.refused: dict[int, KvmwebError] = {}

    def find_reservations(self) -> None:
        """Each looked up once, however many entries lead to it."""
        for uuid, places in self._grouped(lambda at: str(self.entries[at]["reservation"])).items():
            try:
                found = named(self.actor, Reservation, uuid, "reservation")
                self.reservations |= dict.fromkeys(places, found)
            except KvmwebError as error:
                self.refused |= dict.fromkeys(places, error)

    def lock_addresses(self) -> None:
        """All of them in one order, so that no two requests wait for each other."""
        hosts = {each.network.host_id for each in self.reservations.values()}
        asked = {uuid for each in self.entries.values() if (uuid := each.get("public_address"))}
        rows = lock(PublicAddress.objects.all()).filter(host__in=hosts).order_by("pk")
        list(rows.filter(Q(is_default=True) | named_addresses(asked)))
        groups = self._grouped(
            lambda at: (
                self.reservations[at].network.host_id,
                self.entries[at].get("public_address"),
            )
        )
        for (_, uuid), places in groups.items():
            try:
                found = lock_public_address(self.reservations[places[0]].network.host, uuid)
                self.publics |= dict.fromkeys(places, found)
            except KvmwebError as error:
                self.refused |= dict.fromkeys(places, error)

    def lock_networks(self) -> None:
        """In the order of their keys; then look at the reservations again."""
        groups = self._grouped(lambda at: self.reservations[at].network_id)
        for key in sorted(groups):
            uuid = self.reservations[groups[key][0]].network.uuid
            try:
                self.networks[key] = locked(self.actor, uuid, field="reservation")
            except KvmwebError as error:
                self.refused |= dict.fromkeys(groups[key], error)
        current = Reservation.objects.in_bulk({each.pk for each in self.reservations.values()})
        for at, before in self.reservations.items():
            self.reservations[at] = current.get(before.pk, before)

    def open(self) -> None:
        """Ports that were chosen first, so that none of them is picked for another."""
        groups = self._grouped(
            lambda at: (
                self._turn(at),
                self.publics[at].pk,
                str(self.entries[at].get("protocol", Forward.Protocol.TCP)),
            )
        )
        for (turn, _, protocol), places in sorted(groups.items()):
            free: list[int] = []
            if turn == _PICKED:
                free = ports.proposed(self.publics[places[0]], protocol.split("+"), len(places))
            for number, at in enumerate(places):
                picked = {"public_port": free[number]} if number < len(free) else {}
                self._open(at, picked)

    def _turn(self, at: int) -> int:
        """What was chosen comes first, then ports in a row, which are found when they are opened,
        then single ports to be picked.
        """
        entry = self.entries[at]
        if entry.get("public_port") is not None or entry.get("protocol") == Forward.Protocol.ALL:
            return 0
        return 1 if entry.get("ports", 1) > 1 else _PICKED

    def opened(self) -> list[Forward]:
        """The forwards in the order of the request, if none was refused."""
        if self.refused:
            raise Several([_placed(error, at) for at, error in sorted(self.refused.items())])
        return [self.forwards[at] for at in self.entries]

    def _open(self, at: int, picked: Options) -> None:
        free = {"protocol": Forward.Protocol.TCP, "public_port": None, "target_port": None}
        options = {**free, **self.entries[at], **picked}
        del options["reservation"]
        options.pop("public_address", None)
        reservation = self.reservations[at]
        network = self.networks[reservation.network_id]
        try:
            self.forwards[at] = open_port(network, reservation, self.publics[at], **options)
        except KvmwebError as error:
            self.refused[at] = error

    def _grouped(self, key: Any) -> dict[Any, list[int]]:
        """The places not refused so far, by what they have in common."""
        groups: dict[Any, list[int]] = defaultdict(list)
        for at in self.entries:
            if at not in self.refused:
                groups[key(at)].append(at)
        return dict(groups)


def _placed(refusal: KvmwebError, place: int) -> KvmwebError:
    """The same refusal, with where in the request it is."""
    placed = copy(refusal)
    placed.field = f"forwards.{place}.{refusal.field}".rstrip(".")
    return placed
