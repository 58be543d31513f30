"""Which file a host's ticket leads to."""

from __future__ import annotations

from pathlib import Path

from kvmweb.hosts.models import Host
from vms.models import Image, library
from vms.tickets import Ticket


def file_for(ticket: Ticket) -> Path | None:
    """The file of the image, as long as panel and ticket know it and its host."""
    known = Host.objects.filter(uuid=ticket.host).exists()
    image = Image.objects.filter(uuid=ticket.image, present=True).exclude(sha256="").first()
    return library().image(str(image.uuid)) if known and image else None
