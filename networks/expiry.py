"""The end of forwards that do not last for good."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from kvmweb.core.errors import Invalid
from networks.models import Forward

USUAL_HOURS = 24
MOST_HOURS = 24 * 366


def refuse_past(expires_at: datetime | None) -> None:
    """Raise for an end that is over, or too far away to be meant."""
    now = timezone.now()
    if expires_at is not None and not now < expires_at <= now + timedelta(hours=MOST_HOURS + 1):
        raise Invalid(
            "A forward expires in the future, within a year.",
            field="expires_at",
            remedy="Leave it empty for a forward that lasts for good.",
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


def due() -> list[int]:
    """The numbers of open forwards whose time is over."""
    rows = Forward.objects.filter(present=True, paused=False, expires_at__lte=timezone.now())
    return list(rows.order_by("expires_at").values_list("pk", flat=True))
