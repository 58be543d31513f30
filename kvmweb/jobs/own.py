"""Workers of the panel's own that speak as hosts do: sealed, and without the database.

Their name is none that a host can have. Their key follows from the panel's secret, so there is
nothing to enrol.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from django.conf import settings

from kvmweb.core.envelope import open_, sender

LIBRARY = "image library"
QUEUES = {LIBRARY: "images"}


def own_key(name: str) -> str:
    """The key that seals messages to and from the panel's worker `name`."""
    secret = settings.SECRET_KEY.encode()
    return hmac.new(secret, f"kvmweb.own.{name}".encode(), hashlib.sha256).hexdigest()


def opened_own(envelope: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The worker of ours that sealed this and what is in it; None when it is a host's.

    Raises Forged.
    """
    name = sender(envelope)
    return (name, open_(own_key(name), envelope)) if name in QUEUES else None


def queue_of(host: str, worker: str) -> str:
    """The Celery queue of a host's worker, or of one of ours."""
    return QUEUES.get(host) or f"host.{host}.{worker}"


def spoken(host: str) -> str:
    """How people call it."""
    return f"the {host}" if host in QUEUES else f"host {host}"
