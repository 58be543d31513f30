"""What operators set about networks of a whole host."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from kvmweb.ui.answers import done
from kvmweb.ui.requests import actor_of
from networks import actions


@require_POST
def repairs(request: HttpRequest, uuid: UUID) -> HttpResponse:
    wanted = request.POST.get("repairs") == "1"
    actions.set_repairs(actor_of(request), uuid, repairs=wanted)
    does = "will put right" if wanted else "will only tell"
    return done(request, f"The host {does} what others change.", "host", uuid)


@require_POST
def remedy(request: HttpRequest, uuid: UUID) -> HttpResponse:
    finding = request.POST.get("finding", "")
    actions.apply_remedy(actor_of(request), uuid, finding=finding)
    return done(request, "The host is at it.", "host", uuid)
