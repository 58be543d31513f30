"""Adding up what hosts have counted.

A host tells what its kernel has counted since an element or a bridge was made, with a stamp of it.
What is new is the difference to what was told last, or all of it where the stamp is another one.
So a message that is lost or comes twice counts neither less nor more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Annotated, TypeAlias, TypeVar

import msgspec
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from msgspec import Meta

from kvmweb.core.errors import Invalid
from kvmweb.core.names import bridge
from kvmweb.hosts.models import Host
from networks import traffic
from networks.carried import Carried, added, keep
from networks.models import (
    Forward,
    ForwardUsage,
    HostName,
    HostNameUsage,
    Network,
    NetworkUsage,
)

_LARGEST = (1 << 63) - 1
_BATCH = 500

_Number = Annotated[int, Meta(ge=0, le=_LARGEST)]
_Entry: TypeAlias = tuple[
    _Number | Annotated[str, Meta(max_length=15)],
    _Number, _Number, _Number,
    _Number, _Number, _Number,
    _Number, _Number, _Number,
]  # fmt: skip
U = TypeVar("U", ForwardUsage, HostNameUsage, NetworkUsage)


class _Said(msgspec.Struct):
    """What `networks.host.usage` sends."""

    forwards: Annotated[list[_Entry], Meta(max_length=10_000)]
    networks: Annotated[list[_Entry], Meta(max_length=10_000)]
    host_names: Annotated[list[_Entry], Meta(max_length=10_000)] = msgspec.field(
        default_factory=list
    )
    # In which what is told has moved; None when the host began to tell, after who knows what time.
    seconds: Annotated[float, Meta(ge=0, le=1e9)] | None = None


def record(host: Host, payload: object) -> None:
    """Add what `host` has counted, for what is its own alone: a few queries, and as
    many more as there are batches."""
    try:
        said = msgspec.convert(payload, _Said)
    except msgspec.ValidationError as error:
        raise Invalid(f"The host's counts cannot be true: {error}") from error
    now = timezone.now()
    with transaction.atomic():
        forwards = _add(ForwardUsage, "forward", _forwards(host, said.forwards), now)
        _add(HostNameUsage, "host_name", _host_names(host, said.host_names), now)
        networks = _add(NetworkUsage, "network", _networks(host, said.networks), now)
        traffic.add(networks, now)
    if said.seconds is not None:
        keep(forwards, networks, seconds=said.seconds, now=now.timestamp())


def _forwards(host: Host, entries: Iterable[_Entry]) -> dict[int, _Entry]:
    told = {int(entry[0]): entry for entry in entries if isinstance(entry[0], int)}
    own = Forward.objects.filter(network__host=host, pk__in=list(told))
    return {pk: told[pk] for pk in own.values_list("pk", flat=True) if pk in told}


def _host_names(host: Host, entries: Iterable[_Entry]) -> dict[int, _Entry]:
    told = {int(entry[0]): entry for entry in entries if isinstance(entry[0], int)}
    own = HostName.objects.filter(network__host=host, pk__in=list(told))
    return {pk: told[pk] for pk in own.values_list("pk", flat=True)}


def _networks(host: Host, entries: Iterable[_Entry]) -> dict[int, _Entry]:
    told = {entry[0]: entry for entry in entries}
    own = Network.objects.filter(host=host).values_list("pk", flat=True)
    return {pk: told[bridge(pk)] for pk in own if bridge(pk) in told}


def _add(model: type[U], of: str, told: Mapping[int, _Entry], now: datetime) -> dict[int, Carried]:
    """What each has carried since it was last told, by its key, now added to its row."""
    if not told:
        return {}
    rows = model._default_manager.filter(**{f"{of}__in": list(told)})
    known = {getattr(row, f"{of}_id"): row for row in rows}
    changed = []
    carried = {}
    for pk, entry in told.items():
        row = known.get(pk) or model(**{f"{of}_id": pk})
        carried[pk] = advance(row, entry, now)
        row.pk = None  # all go as one statement, told apart by `of`
        changed.append(row)
    fields = [field.name for field in model._meta.fields if field.name not in ("id", of)]
    model._default_manager.bulk_create(
        changed, _BATCH, update_conflicts=True, unique_fields=[of], update_fields=fields
    )
    return carried


def advance(
    row: ForwardUsage | HostNameUsage | NetworkUsage, entry: _Entry, now: datetime
) -> Carried:
    """Add to a row what has been counted since it was last told, and return that."""
    numbers = [int(number) for number in entry[1:]]
    before = row.seen or [0] * len(numbers)
    (in_packets, in_bytes), (out_packets, out_bytes), (connections, _) = (
        added(before[at : at + 3], numbers[at : at + 3]) for at in (0, 3, 6)
    )
    row.packets_in = _sum(row.packets_in, in_packets)
    row.bytes_in = _sum(row.bytes_in, in_bytes)
    row.packets_out = _sum(row.packets_out, out_packets)
    row.bytes_out = _sum(row.bytes_out, out_bytes)
    if isinstance(row, ForwardUsage | HostNameUsage):
        row.connections = _sum(row.connections, connections)
    if in_bytes or out_bytes or connections:
        row.last_used_at = now
    row.seen = numbers
    return Carried(in_bytes, out_bytes, in_packets, out_packets, connections)


def _sum(total: int, added: int) -> int:
    return min(total + added, _LARGEST)


def unused(days: int) -> Q:
    """Forwards that nobody has used for so many days, and that are at least that old."""
    since = timezone.now() - timedelta(days=min(days, 36_500))
    never = Q(usage__isnull=True) | Q(usage__last_used_at__isnull=True)
    return Q(created_at__lt=since) & (never | Q(usage__last_used_at__lt=since))
