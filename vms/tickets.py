"""The addresses by which hosts fetch images from the panel: sealed, for one host, for a day.

A job carries one; the next job has a fresh one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.core import signing
from django.urls import reverse

from kvmweb.hosts.models import Host
from vms.models import Image

LASTS = timedelta(days=1)
_SALT = "vms.image"


@dataclass(frozen=True, slots=True)
class Ticket:
    """Who may fetch which image, by their UUIDs."""

    image: str
    host: str


def image_url(image: Image, host: Host) -> str:
    """Where `host` finds `image` from now on."""
    ticket = signing.dumps([str(image.uuid), str(host.uuid)], salt=_SALT)
    return settings.KVMWEB_URL.rstrip("/") + reverse("image-file", args=[ticket])


def opened(text: str) -> Ticket | None:
    """What a ticket is for; None when it is forged or too old."""
    try:
        image, host = signing.loads(text, salt=_SALT, max_age=LASTS)
    except (signing.BadSignature, ValueError):
        return None
    return Ticket(image, host)
