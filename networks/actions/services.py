"""What people ask of the services of a network: names of guests and their addresses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from typing import TypedDict, Unpack
from uuid import UUID

from django.db import transaction

from kvmweb.core.errors import Invalid
from kvmweb.jobs.dispatch import request
from kvmweb.projects.actions import Actor, audit
from networks import bridged, names, subnets
from networks.actions.lookup import locked
from networks.models import Network
from networks.models.bandwidth import MOST_MBIT, Bandwidth
from networks.models.services import LONGEST_LEASE, SHORTEST_LEASE


class ServiceChanges(TypedDict, total=False):
    """What may be changed; what is not named stays. Empty texts take the default again."""

    dns_domain: str
    dns_servers: list[str]
    range_first: str
    range_last: str
    lease_minutes: int
    max_down_mbit: int | None
    max_up_mbit: int | None


def set_services(actor: Actor, uuid: UUID | str, **changes: Unpack[ServiceChanges]) -> Network:
    """Change what a network serves its guests. No guest is cut off: names and speeds count at once,
    the rest with a guest's next lease."""
    with transaction.atomic():
        network = locked(actor, uuid)
        _refuse_bridged(network, changes)
        _set_names(network, changes)
        _set_range(network, changes)
        if "lease_minutes" in changes:
            network.lease_minutes = _parse_lease(changes["lease_minutes"])
        set_speeds(network, changes)
        network.save(update_fields=_FIELDS)
        job = request(actor, network, f"Change the services of network {network}")
        audit(actor, "network.services", network, project=network.project, job=job.uuid)
    return network


def _refuse_bridged(network: Network, changes: Mapping[str, object]) -> None:
    """Names, addresses and leases come from outside; no wire of the network could be limited."""
    for field in changes:
        served = not field.startswith("max_")
        why = (
            f"{bridged.OUTSIDE}, and so are names and leases"
            if served
            else "It has no wire of its own that could be limited"
        )
        remedy = "" if served else "Limit its guests one by one."
        bridged.refuse(network, field, why, remedy)


_FIELDS = tuple(ServiceChanges.__annotations__)


def _set_names(network: Network, changes: Mapping[str, object]) -> None:
    if "dns_domain" in changes:
        network.dns_domain = names.parse_domain(str(changes["dns_domain"]))
    if "dns_servers" in changes:
        servers = names.parse_servers(changes["dns_servers"])  # type: ignore[arg-type]
        names.refuse_foreign(servers, _others(network))
        network.dns_servers = servers


def _others(network: Network) -> Iterator[names.Place]:
    """Where a name server, of either family, would not be one that guests of this network reach
    themselves."""
    yield IPv4Network(network.gateway), "the gateway of the network itself"
    if network.ipv6_subnet:
        yield IPv6Network(network.gateway6), "the gateway of the network itself"
    for other in network.host.networks.exclude(pk=network.pk):
        for subnet in filter(None, (other.ipv4_subnet, other.ipv6_subnet)):
            yield ip_network(subnet), "in another network on this host"
    for entry in network.host.facts.get("addresses", ()):
        yield ip_network(entry["address"]), "an address of the host itself"


def _set_range(network: Network, changes: Mapping[str, object]) -> None:
    if not {"range_first", "range_last"} & changes.keys():
        return
    first = _parse_end(network, "range_first", changes.get("range_first", network.range_first))
    last = _parse_end(network, "range_last", changes.get("range_last", network.range_last))
    if (first is None) != (last is None):
        raise Invalid(
            "Say both ends of the range, or neither.",
            field="range_last" if last is None else "range_first",
        )
    if first is not None and last is not None and first > last:
        raise Invalid("The range ends before it begins.", field="range_last")
    network.range_first = None if first is None else str(first)
    network.range_last = None if last is None else str(last)


def _parse_end(network: Network, field: str, text: object) -> IPv4Address | None:
    if not text:
        return None
    try:
        return subnets.parse_address(str(text), network.subnet)
    except Invalid as error:
        error.field = field
        raise


def set_speeds(limited: Bandwidth, changes: Mapping[str, object]) -> None:
    """Take the speeds that are named in `changes`; the caller saves."""
    for field in ("max_down_mbit", "max_up_mbit"):
        if field not in changes:
            continue
        speed = changes[field]
        if speed is not None and not (isinstance(speed, int) and 1 <= speed <= MOST_MBIT):
            raise Invalid(
                f"A speed is 1 to {MOST_MBIT} Mbit/s.",
                field=field,
                remedy="Leave it empty for no limit.",
            )
        setattr(limited, field, speed)


def _parse_lease(minutes: int) -> int:
    if not SHORTEST_LEASE <= minutes <= LONGEST_LEASE:
        raise Invalid(
            f"A lease lasts {SHORTEST_LEASE} to {LONGEST_LEASE} minutes.", field="lease_minutes"
        )
    return minutes
