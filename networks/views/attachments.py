"""What operators release of a host for bridged networks."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from kvmweb.core.access import get_for
from kvmweb.hosts.models import Host
from kvmweb.ui.answers import done
from kvmweb.ui.requests import actor_of, user_of
from networks import actions


@require_POST
def release(request: HttpRequest, uuid: UUID) -> HttpResponse:
    get_for(user_of(request), Host, uuid, write=True)
    kind, _, interface = request.POST.get("attachable", "").partition(" ")
    made = actions.release_attachment(actor_of(request), host=uuid, interface=interface, kind=kind)
    return done(request, f"Guests may be put on {made.interface}.", "host", uuid)


@require_POST
def withdraw(request: HttpRequest, uuid: UUID) -> HttpResponse:
    gone = actions.withdraw_attachment(actor_of(request), uuid)
    words = f"Nobody may be put on {gone.interface} any more."
    return done(request, words, "host", gone.host.uuid)
