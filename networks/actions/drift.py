"""What operators ask about repairs."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from kvmweb.core.access import get_for
from kvmweb.core.locks import lock
from kvmweb.hosts.models import Host
from kvmweb.jobs.dispatch import request
from kvmweb.projects.actions import Actor, audit
from networks.models import Network


def set_repairs(actor: Actor, host: UUID | str, *, repairs: bool) -> Host:
    """Have a host repair what others change, or only tell it. Every network of the host carries it
    in its spec, so the host needs nobody to know it by."""
    with transaction.atomic():
        found = get_for(actor.user, Host, host, write=True, lock=True)
        if found.repairs == repairs:
            return found
        found.repairs = repairs
        found.save(update_fields=["repairs"])
        title = "Repair what others change" if repairs else "Only tell what others change"
        for network in lock(Network.objects.filter(host=found, present=True).order_by("pk")):
            request(actor, network, title)
        audit(actor, "host.set_repairs", found, project=None, repairs=repairs)
    return found
