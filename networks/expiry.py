"""The end of ways in that do not last for good: of forwards and host names."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from kvmweb.core.errors import Conflict, Invalid
from networks.models import Forward, HostName

USUAL_HOURS = 24
MOST_HOURS = 24 * 366


def set_end(found: Forward | HostName, expires_at: datetime | None) -> None:
    """Another end; what was closed by its old one is open again."""
    now = timezone.now()
    if expires_at is not None and not now < expires_at <= now + timedelta(hours=MOST_HOURS + 1):
        raise Invalid(
            "An end is in the future, within a year.",
            field="expires_at",
            remedy="Leave it empty for what lasts for good.",
        )
    if found.is_expired:
        found.paused = False
    found.expires_at = expires_at


def refuse_expired(found: Forward | HostName, name: str) -> None:
    """Raise where it cannot be resumed because its time is over."""
    if found.is_expired:
        raise Conflict(
            f"{name} expired.", code="expired", remedy="Extend it, or let it last for good."
        )


def after(hours: int) -> datetime:
    """The end of what begins now and lasts so many hours."""
    if not 1 <= hours <= MOST_HOURS:
        raise Invalid(f"Say 1 to {MOST_HOURS} hours.", field="hours")
    return timezone.now() + timedelta(hours=hours)


def extended(expires_at: datetime | None, hours: int) -> datetime:
    """So many hours after an end, or after now when it is over; a year from now at the latest."""
    now = timezone.now()
    later = after(hours) + (max(expires_at, now) - now if expires_at else timedelta())
    return min(later, now + timedelta(hours=MOST_HOURS))


def due(model: type[Forward | HostName]) -> list[int]:
    """The numbers of those that are open though their time is over."""
    rows = model._default_manager.filter(present=True, paused=False, expires_at__lte=timezone.now())
    return list(rows.order_by("expires_at").values_list("pk", flat=True))
