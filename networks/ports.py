"""Public ports.

Which may be taken, which one is picked, and the rows that make a double impossible.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from django.conf import settings
from django.db import IntegrityError, transaction

from kvmweb.core.errors import Conflict, Invalid
from kvmweb.hosts.facts import SSH_PORT, ephemeral_ports, listening_ports
from kvmweb.hosts.models import Host, PublicAddress
from networks import history
from networks.models import Forward, PortClaim


def reserved_ports(host: Host) -> set[int]:
    """Ports no forward may take on any address of the host.

    Ssh, the panel, and what operators added.
    """
    return {SSH_PORT, settings.KVMWEB_PANEL_PORT, *host.reserved_ports}


def addresses_of(hosts: Iterable[int]) -> list[PublicAddress]:
    """All public addresses of these hosts, for a form to offer."""
    return list(PublicAddress.objects.filter(host__in=hosts).select_related("host"))


def refuse_unusable(public: PublicAddress, protocols: list[str], port: int) -> None:
    """Raise for a port out of range, reserved, or answered by a program of the host itself."""
    if not 1 <= port <= 65535:
        raise Invalid("A port is a number from 1 to 65535.", field="public_port")
    if port in reserved_ports(public.host):
        raise Conflict(
            f"Port {port} is reserved on this host.",
            field="public_port",
            code="port_reserved",
            remedy="Choose another port, or leave it empty to get a free one.",
        )
    heard = listening_ports(public.host, public.address)
    if any((protocol, port) in heard for protocol in protocols):
        raise Conflict(
            f"A program of the host itself listens on port {port}.",
            field="public_port",
            code="port_in_use",
            remedy="Choose another port, or leave it empty to get a free one.",
        )


def warning_for(public: PublicAddress, port: int) -> str:
    """A caution worth showing with an allowed port; usually empty."""
    low, high = ephemeral_ports(public.host)
    if low <= port <= high:
        return (
            f"Port {port} lies in the range {low}–{high} from which the host takes ports "
            "for its own connections; one of those may be disturbed."
        )
    return ""


def claim(forward: Forward) -> None:
    """Insert the claims of an explicitly chosen port; Conflict when anybody has one of them."""
    try:
        with transaction.atomic():
            PortClaim.objects.bulk_create(_claims(forward))
            history.began(forward)
    except IntegrityError as error:
        raise Conflict(
            f"Port {forward.public_port} of {forward.public_address} is taken.",
            field="public_port",
            code="port_taken",
            remedy="Choose another port, or leave it empty to get a free one.",
        ) from error


def _claims(forward: Forward) -> list[PortClaim]:
    return [
        PortClaim(
            public_address=forward.public_address,
            protocol=protocol,
            port=forward.public_port,
            forward=forward,
        )
        for protocol in forward.protocols
    ]


def pick(public: PublicAddress, protocols: list[str]) -> int:
    """A free port of the address's range, for all `protocols`.

    Call it with the address's row locked.
    """
    for port in _free_ports(public, protocols):
        return port
    raise Conflict(
        f"All ports of {public.address} from {public.first_port} to {public.last_port} are taken.",
        field="public_port",
        code="ports_exhausted",
        remedy="Remove a forward, or ask an operator for a wider range.",
    )


def _free_ports(public: PublicAddress, protocols: list[str]) -> Iterator[int]:
    claimed = set(
        PortClaim.objects.filter(
            public_address=public,
            protocol__in=protocols,
            port__range=(public.first_port, public.last_port),
        ).values_list("port", flat=True)
    )
    heard = {
        port
        for protocol, port in listening_ports(public.host, public.address)
        if protocol in protocols
    }
    low, high = ephemeral_ports(public.host)
    unusable = claimed | heard | reserved_ports(public.host)
    for port in range(public.first_port, public.last_port + 1):
        if port not in unusable and not low <= port <= high:
            yield port


def proposed(public: PublicAddress, protocols: list[str], count: int) -> list[int]:
    """The ports that would be picked next, for a form to show; nothing is taken."""
    return list(islice(_free_ports(public, protocols), count))
