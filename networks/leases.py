"""What guests hold by DHCP, as hosts tell it, written down."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from django.db import transaction
from django.utils import timezone
from msgspec import Meta

from kvmweb.core.errors import Invalid
from kvmweb.hosts.models import Host
from kvmweb.jobs import notify
from networks.models import Lease, Network, Reservation

_Mac = Annotated[str, Meta(pattern="^[0-9a-f]{2}(:[0-9a-f]{2}){5}$")]
_IPV4 = r"^(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}$"


class _Told(msgspec.Struct):
    mac: _Mac
    address: Annotated[str, Meta(pattern=_IPV4)]
    hostname: Annotated[str, Meta(max_length=255)]
    expires: Annotated[int, Meta(ge=0, le=1 << 40)]


class _Said(msgspec.Struct):
    """What `networks.host.leases` sends."""

    anew: bool
    leases: Annotated[list[_Told], Meta(max_length=10_000)]
    gone: Annotated[list[_Mac], Meta(max_length=100_000)]


def record(host: Host, payload: object) -> None:
    """Note who holds what on `host`: of its own networks' reservations alone, for others have no
    lease there. Anew means that what was known before may be gone."""
    try:
        said = msgspec.convert(payload, _Said)
    except msgspec.ValidationError as error:
        raise Invalid(f"The host's leases cannot be true: {error}") from error
    known = Lease.objects.filter(reservation__network__host=host)
    told = {lease.mac: lease for lease in said.leases}
    now = timezone.now()
    with transaction.atomic():
        if said.anew:
            known.delete()
        else:
            known.filter(reservation__mac__in=said.gone).delete()
        rows = Reservation.objects.filter(network__host=host, mac__in=list(told))
        found = {row.mac: row for row in rows.select_related("network")}
        Lease.objects.bulk_create(
            [_lease(row, told[mac], now) for mac, row in found.items()],
            update_conflicts=True,
            unique_fields=["reservation"],
            update_fields=["address", "hostname", "expires_at", "seen_at"],
        )
        for network in {row.network for row in found.values()}:
            notify.subject_changed(Network.kind, network.uuid, network.project_id)


def _lease(reservation: Reservation, told: _Told, now: datetime) -> Lease:
    return Lease(
        reservation=reservation,
        address=told.address,
        hostname=told.hostname,
        expires_at=datetime.fromtimestamp(min(told.expires, 1 << 37), UTC),
        seen_at=now,
    )
