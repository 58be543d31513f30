"""Traffic of each month: by network, and summed up by project."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

from django.db.models import QuerySet, Sum

from networks.carried import Carried
from networks.models import Network, Traffic

AMOUNTS = ("bytes_in", "bytes_out", "packets_in", "packets_out")
_BATCH = 500
_LARGEST = (1 << 63) - 1
_HEAD = ("month", "project", "network", "network_name", *AMOUNTS)
# What a spreadsheet would take for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def month_of(at: datetime) -> date:
    """The first day of the month, in UTC."""
    return at.astimezone(UTC).date().replace(day=1)


def month_named(text: str) -> date | None:
    """The month that is written as 2026-11; None where it is none."""
    try:
        return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).date()
    except ValueError:
        return None


def add(carried: Mapping[int, Carried], at: datetime) -> None:
    """Add what networks, by their keys, carried to their months: three queries, in the caller's
    transaction."""
    moved = {pk: one for pk, one in carried.items() if one.bytes_in or one.bytes_out}
    if not moved:
        return
    month = month_of(at)
    networks = Network.objects.filter(pk__in=moved).in_bulk()
    uuids = [network.uuid for network in networks.values()]
    rows = {row.network: row for row in Traffic.objects.filter(month=month, network__in=uuids)}
    changed = [
        _more(network, month, rows.get(network.uuid), moved[pk]) for pk, network in networks.items()
    ]
    Traffic.objects.bulk_create(
        changed,
        _BATCH,
        update_conflicts=True,
        unique_fields=["network", "month"],
        update_fields=["network_name", *AMOUNTS],
    )


def _more(network: Network, month: date, before: Traffic | None, carried: Carried) -> Traffic:
    """A row in place of the one before."""
    amounts = {
        name: min((getattr(before, name) if before else 0) + getattr(carried, name), _LARGEST)
        for name in AMOUNTS
    }
    return Traffic(
        project_id=before.project_id if before else network.project_id,
        month=month,
        network=network.uuid,
        network_name=network.name,
        **amounts,
    )


def totals(rows: QuerySet[Traffic]) -> QuerySet[Traffic, Any]:
    """By month and project, the newest first."""
    return (
        rows.order_by()
        .values("month", "project__uuid", "project__name")
        .annotate(**{name: Sum(name) for name in AMOUNTS})
        .order_by("-month", "project__name", "project__uuid")
    )


def as_csv(rows: Iterable[Traffic]) -> str:
    """One line for each network and month."""
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(_HEAD)
    for row in rows:
        amounts = [getattr(row, name) for name in AMOUNTS]
        names = (_plain(row.project.name), row.network, _plain(row.network_name))
        lines.writerow([f"{row.month:%Y-%m}", *names, *amounts])
    return text.getvalue()


def _plain(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
