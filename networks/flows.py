"""Connections through the host, asked for now; and ending them, which is audited."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from django.db import transaction

from kvmweb.hosts.ask import ask
from kvmweb.projects.actions import Actor, Named, audit
from networks.models import Forward, Network, Reservation

MOST = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Of:
    """Whose connections: `subject` is what people call it, the rest says it to the host."""

    subject: Named
    kind: str
    network: Network
    forward: str = ""
    reservations: tuple[str, ...] = ()

    def body(self, **more: object) -> dict[str, object]:
        """The question, see `networks.host.flows.Scope`."""
        return {
            "network": str(self.network.uuid),
            "forward": self.forward,
            "reservations": self.reservations,
            **more,
        }


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


def of_guest(subject: Named, kind: str, reservations: list[Reservation]) -> Of:
    """Of a VM, by the addresses it has in its first network."""
    network = reservations[0].network
    own = tuple(str(each.uuid) for each in reservations if each.network_id == network.pk)
    return Of(subject=subject, kind=kind, network=network, reservations=own)


def flows(of: Of, *, search: str = "", limit: int = 100) -> Listing:
    """What there is now. Raises `HostSilent`."""
    said = ask(of.network.host, "flows", of.body(search=search, limit=min(limit, MOST)))
    return msgspec.convert(said, Listing)


def end_flows(actor: Actor, of: Of, *, flow: str = "") -> int:
    """End all of them, or one; returns how many. The caller has checked that the actor may.

    That it was asked for is on record before the host is asked, whatever becomes of it.
    """
    with transaction.atomic():
        audit(actor, f"{of.kind}.end_flows", of.subject, project=of.network.project, flow=flow)
    return int(ask(of.network.host, "end_flows", of.body(flow=flow)))
