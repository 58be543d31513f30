"""Connections through the host, asked for now; and ending them, which is audited."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from django.db import transaction

from kvmweb.core.errors import Conflict
from kvmweb.hosts.ask import ask
from kvmweb.projects.actions import Actor, Named, audit
from networks import bridged
from networks.models import Forward, Network, Reservation
from networks.models.parts import endpoint

MOST = 500
_UNTRACKED = (
    "What its guests connect to passes the host as frames: it is not translated, and no table of"
    " connections has it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Of:
    """Whose connections: `subject` is what people call it, the rest says it to the host. Of a VM
    `guests` are its addresses in those of its networks where there is something to tell, or in all
    where there is nothing; `network` is the first."""

    subject: Named
    kind: str
    network: Network
    forward: str = ""
    guests: tuple[tuple[Network, tuple[str, ...]], ...] = ()

    @property
    def unseen(self) -> Conflict | None:
        """Why nothing can be told of them, if so: all are in bridged networks."""
        return bridged.refusal(self.network, "", _UNTRACKED)

    def asked(self, what: str, **more: object) -> list[Any]:
        """The answers of the host to the question, one for each network; see
        `networks.host.flows.Scope`."""
        guests = self.guests or ((self.network, ()),)
        told = [(str(network.uuid), reservations) for network, reservations in guests]
        bodies = [
            {
                "network": network,
                "forward": self.forward,
                "reservations": reservations,
                "beside": told[:at],
                **more,
            }
            for at, (network, reservations) in enumerate(told)
        ]
        return [ask(self.network.host, what, body) for body in bodies]


class Flow(msgspec.Struct, frozen=True):
    """A connection as its host tells it, see `networks.host.drivers.flowtable.Flow`."""

    id: str
    protocol: str
    source: str
    source_port: int
    destination: str
    destination_port: int
    answers: str
    answers_port: int
    seen_as: str
    seen_as_port: int
    state: str
    replied: bool
    timeout: int
    age: float | None = None
    bytes_out: int | None = None
    bytes_in: int | None = None

    @property
    def original_source(self) -> str:
        """Who opened it."""
        return endpoint(self.source, self.source_port)

    @property
    def original_destination(self) -> str:
        """What they asked for."""
        return endpoint(self.destination, self.destination_port)

    @property
    def translated_source(self) -> str:
        """As whom they are seen."""
        return endpoint(self.seen_as, self.seen_as_port)

    @property
    def translated_destination(self) -> str:
        """Who answers."""
        return endpoint(self.answers, self.answers_port)


class ShownFlow(msgspec.Struct, frozen=True):
    direction: str
    forward: str
    flow: Flow


class Listing(msgspec.Struct, frozen=True):
    total: int
    searched: int
    flows: list[ShownFlow]


def of_forward(forward: Forward) -> Of:
    return Of(subject=forward, kind="forward", network=forward.network, forward=str(forward.uuid))


def of_network(network: Network) -> Of:
    return Of(subject=network, kind="network", network=network)


def is_tracked(network: Network) -> bool:
    """Whether connections of its guests are in the host's table."""
    return not network.is_bridged


def of_guest(
    subject: Named,
    kind: str,
    reservations: list[Reservation],
    tells: Callable[[Network], bool] = is_tracked,
) -> Of:
    """Of a VM, by the addresses it has in all of its networks that have something to tell."""
    seen = [each for each in reservations if tells(each.network)] or reservations
    networks = {each.network_id: each.network for each in seen}
    guests = tuple(
        (network, tuple(str(each.uuid) for each in seen if each.network_id == key))
        for key, network in networks.items()
    )
    return Of(subject=subject, kind=kind, network=seen[0].network, guests=guests)


def flows(of: Of, *, search: str = "", limit: int = 100) -> Listing:
    """What there is now. Raises `HostSilent`, and where they are `unseen`."""
    if of.unseen is not None:
        raise of.unseen
    most = min(limit, MOST)
    said = [msgspec.convert(each, Listing) for each in of.asked("flows", search=search, limit=most)]
    return Listing(
        total=sum(each.total for each in said),
        searched=sum(each.searched for each in said),
        flows=[one for each in said for one in each.flows][:most],
    )


def end_flows(actor: Actor, of: Of, *, flow: str = "") -> int:
    """End all of them, or one; returns how many. The caller has checked that the actor may.

    That it was asked for is on record before the host is asked, whatever becomes of it.
    """
    if of.unseen is not None:
        raise of.unseen
    with transaction.atomic():
        audit(actor, f"{of.kind}.end_flows", of.subject, project=of.network.project, flow=flow)
    return sum(int(ended) for ended in of.asked("end_flows", flow=flow))
