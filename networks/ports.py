"""Public ports.

Which may be taken, which are picked, and the rows that make a double impossible: one per port and
protocol, whatever they are held as part of. A whole address (1:1 NAT) is one row with port 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from kvmweb.core.errors import Conflict, Invalid
from kvmweb.hosts.facts import SSH_PORT, ephemeral_ports, listening_ports
from kvmweb.hosts.models import Host, PublicAddress
from networks import history
from networks.host.proxy import PORTS as SHARED_PORTS
from networks.host_names import shared_port
from networks.models import Forward, PortClaim

LARGEST_PORT = 65535
MOST_SHIFTED = 1024
_BATCH = 5000
_AT_ONCE = 500
_ANOTHER = "Choose another port, or leave it empty to get a free one."


def reserved_ports(host: Host) -> set[int]:
    """Ports no forward may take on any address of the host.

    Ssh, the panel, and what operators added.
    """
    return {SSH_PORT, settings.KVMWEB_PANEL_PORT, *host.reserved_ports}


def addresses_of(hosts: Iterable[int]) -> list[PublicAddress]:
    """All public addresses of these hosts, for a form to offer."""
    return list(PublicAddress.objects.filter(host__in=hosts).select_related("host"))


def refuse_unusable(public: PublicAddress, protocols: list[str], port: int, count: int = 1) -> None:
    """Raise if one of `count` ports is out of range, reserved, or answered by a program of the host
    itself."""
    last = port + count - 1
    if not 1 <= port <= last <= LARGEST_PORT:
        raise Invalid(f"A port is a number from 1 to {LARGEST_PORT}.", field="public_port")
    reserved = [each for each in reserved_ports(public.host) if port <= each <= last]
    if reserved:
        raise Conflict(
            f"Port {min(reserved)} is reserved on this host.",
            field="public_port",
            code="port_reserved",
            remedy=_ANOTHER,
        )
    if shared := shared_port(public, protocols, port, last):
        raise Conflict(
            f"Port {shared} of {public} is shared by host names.",
            field="public_port",
            code="port_shared",
            remedy="Add a host name for your VM, or choose another port.",
        )
    heard = [each for each in _heard(public, protocols) if port <= each <= last]
    if heard:
        raise Conflict(
            f"A program of the host itself listens on port {min(heard)}.",
            field="public_port",
            code="port_in_use",
            remedy=_ANOTHER,
        )


def _heard(public: PublicAddress, protocols: list[str]) -> set[int]:
    heard = listening_ports(public.host, public.address)
    return {port for protocol, port in heard if protocol in protocols}


def warning_for(public: PublicAddress, port: int, count: int = 1) -> str:
    """A caution worth showing with an allowed port or range; usually empty."""
    low, high = ephemeral_ports(public.host)
    first, last = max(low, port), min(high, port + count - 1)
    if first <= last:
        which = f"Port {first} lies" if first == last else f"Ports {first}–{last} lie"
        return (
            f"{which} in the range {low}–{high} from which the host takes ports "
            "for its own connections; one of those may be disturbed."
        )
    return ""


def claim(forward: Forward) -> None:
    """Insert the claims of a forward's ports; Conflict when anybody has one of them.

    Call it with the address's row locked.
    """
    public = forward.public_address
    others = PortClaim.objects.filter(public_address=public).exclude(forward=forward)
    if others.filter(protocol=Forward.Protocol.ALL).exists():
        raise Conflict(
            f"All of {public} leads to one guest (1:1 NAT).",
            field="public_address",
            code="address_taken",
            remedy="Choose another public address.",
        )
    if forward.is_whole and (others.exists() or public.host_names.exists()):
        raise Conflict(
            f"Ports of {public} are in use already, so it cannot lead to one guest as a whole.",
            field="public_address",
            code="address_taken",
            remedy="Remove those forwards and host names first, or choose another public address.",
        )
    try:
        with transaction.atomic():
            PortClaim.objects.bulk_create(_claims(forward), batch_size=_BATCH)
            history.began(forward)
    except IntegrityError as error:
        raise Conflict(
            f"Port {_taken(forward, others)} of {public} is taken.",
            field="public_port",
            code="port_taken",
            remedy=_ANOTHER,
        ) from error


def _claims(forward: Forward) -> Iterator[PortClaim]:
    return (
        PortClaim(
            public_address=forward.public_address, protocol=protocol, port=port, forward=forward
        )
        for protocol in forward.protocols
        for port in forward.public_ports
    )


def _taken(forward: Forward, others: QuerySet[PortClaim]) -> int:
    """The first port of a forward that somebody else holds."""
    wanted = (forward.public_port, forward.public_port_end)
    mine = others.filter(protocol__in=forward.protocols, port__range=wanted)
    return mine.order_by("port").values_list("port", flat=True).first() or forward.public_port


def pick(public: PublicAddress, protocols: list[str], count: int = 1) -> int:
    """The first of `count` free ports in a row of the address's range, for all `protocols`.

    Call it with the address's row locked.
    """
    for first, last in _free_runs(public, protocols):
        if last - first >= count - 1:
            return first
    where = f"of {public.address} from {public.first_port} to {public.last_port}"
    raise Conflict(
        f"All ports {where} are taken."
        if count == 1
        else f"No {count} ports {where} are free in a row.",
        field="public_port",
        code="ports_exhausted",
        remedy="Remove a forward, or ask an operator for a wider range.",
    )


def proposed(public: PublicAddress, protocols: list[str], count: int) -> list[int]:
    """The ports that would be picked next, for a form to show; nothing is taken."""
    runs = _free_runs(public, protocols)
    return list(islice((port for low, high in runs for port in range(low, high + 1)), count))


def _free_runs(public: PublicAddress, protocols: list[str]) -> Iterator[tuple[int, int]]:
    """Free ports in a row, first and last of each, in order."""
    unusable = sorted(_heard(public, protocols) | reserved_ports(public.host) | {*SHARED_PORTS})
    low, high = ephemeral_ports(public.host)
    for first, last in _gaps(public, protocols):
        for start, end in _without(first, last, unusable):
            if start < low:
                yield start, min(end, low - 1)
            if end > high:
                yield max(start, high + 1), end


def _gaps(public: PublicAddress, protocols: list[str]) -> Iterator[tuple[int, int]]:
    """What nobody has claimed of the address's range, in order. Claims are read in the order of
    their index and only as far as somebody asks on: to the first gap that is wide enough.
    """
    claims = PortClaim.objects.filter(
        public_address=public,
        protocol__in=protocols,
        port__range=(public.first_port, public.last_port),
    )
    free = public.first_port
    for port in claims.order_by("port").values_list("port", flat=True).iterator(_AT_ONCE):
        if port > free:
            yield free, port - 1
        free = port + 1
    if free <= public.last_port:
        yield free, public.last_port


def _without(first: int, last: int, unusable: list[int]) -> Iterator[tuple[int, int]]:
    """The parts of a run between single ports that may not be used."""
    for port in unusable:
        if first <= port <= last:
            if port > first:
                yield first, port - 1
            first = port + 1
    if first <= last:
        yield first, last
