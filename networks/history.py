"""Writing down who had which public address and port, as it is claimed and let go of.

Rows of a forward or host name are written in the transaction that takes it and end when its host
has let go of it. By which addresses a network goes out is written as its host applies it.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Max, Min
from django.utils import timezone

from networks.host.proxy import HTTP_PORT, TLS_PORT
from networks.models import (
    Forward,
    ForwardQuerySet,
    Holding,
    HostName,
    HostNameQuerySet,
    Network,
    PortClaim,
)

ANY, ALL_PORTS = "any", (0, 65535)


def began(forward: Forward) -> None:
    """This forward has the ports that it has claimed now: of each protocol they are in a row."""
    claimed = PortClaim.objects.filter(forward=forward).order_by().values_list("protocol")
    spans = claimed.annotate(first=Min("port"), last=Max("port"))
    Holding.objects.bulk_create(
        _held(forward, protocol, first, last) for protocol, first, last in spans
    )


def _held(forward: Forward, protocol: str, first: int, last: int) -> Holding:
    """A claim of port 0 is one of the whole address."""
    row = _row(forward.network, forward.public_address.address, Holding.Way.IN)
    row.since, row.forward = timezone.now(), forward
    row.protocol = protocol if first else ANY
    row.first_port, row.last_port = (first, last) if first else ALL_PORTS
    guest = forward.reservation
    row.guest_name, row.guest_address, row.guest_mac = guest.name, guest.address or "", guest.mac
    return row


def moved(forward: Forward) -> None:
    """This forward leads to another guest, or has other ports, from now on."""
    ended(Forward.objects.filter(pk=forward.pk))
    began(forward)


def ended(forwards: ForwardQuerySet) -> None:
    """Their hosts have let go of these forwards."""
    held = Holding.objects.filter(forward__in=forwards).open()
    held.update(until=timezone.now())


def named(found: HostName) -> None:
    """This name leads to its guest, on the ports it is served on, from now on."""
    wanted = _served(found)
    held = Holding.objects.filter(name=found).open()
    if [(row.first_port, row.guest_address) for row in held.order_by("first_port")] == wanted:
        return
    held.update(until=timezone.now())
    Holding.objects.bulk_create(_named(found, port) for port, _ in wanted)


def _served(found: HostName) -> list[tuple[int, str]]:
    ports = [HTTP_PORT] if found.http_port or found.redirect else []
    ports += [TLS_PORT] if found.tls != HostName.Tls.OFF else []
    return [(port, found.reservation.address or "") for port in ports]


def _named(found: HostName, port: int) -> Holding:
    row = _row(found.network, found.public_address.address, Holding.Way.IN)
    row.since, row.name, row.served_name = timezone.now(), found, found.name
    row.protocol, row.first_port, row.last_port = "tcp", port, port
    guest = found.reservation
    row.guest_name, row.guest_address, row.guest_mac = guest.name, guest.address or "", guest.mac
    return row


def no_longer_named(names: HostNameQuerySet) -> None:
    """Their hosts have let go of these names."""
    Holding.objects.filter(name__in=names).open().update(until=timezone.now())


def goes_out(network: Network, addresses: Iterable[str]) -> None:
    """The network's guests are seen outside with these addresses, as its host has applied it."""
    wanted = set(addresses)
    held = Holding.objects.filter(network=network, way=Holding.Way.OUT).open()
    known = set(held.values_list("public_address", flat=True))
    now = timezone.now()
    if known - wanted:
        held.filter(public_address__in=known - wanted).update(until=now)
    rows = []
    for address in sorted(wanted - known):
        row = _row(network, address, Holding.Way.OUT)
        row.protocol, row.since = ANY, now
        row.first_port, row.last_port = ALL_PORTS
        rows.append(row)
    Holding.objects.bulk_create(rows)


def gone(network: Network) -> None:
    """The host has let go of the whole network."""
    Holding.objects.filter(network=network).open().update(until=timezone.now())


def _row(network: Network, address: str, way: str) -> Holding:
    return Holding(
        way=way,
        public_address=address,
        host_name=network.host.name,
        project_name=network.project.name,
        project_uuid=network.project.uuid,
        network_name=network.name,
        network_uuid=network.uuid,
        network=network,
    )
