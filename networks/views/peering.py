"""Peerings, on the pages of their networks."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST

from kvmweb.core.access import get_for
from kvmweb.ui.answers import done, form_page
from kvmweb.ui.forms import ActionForm
from kvmweb.ui.requests import actor_of, user_of
from networks import actions, bridged
from networks.actions.own_router import refuse_peers
from networks.forms.peering import PeeringForm
from networks.models import Network, Peering

GET_OR_POST = require_http_methods(["GET", "POST"])


def peers_of(request: HttpRequest, network: Network) -> dict[str, Any]:
    """Who may talk to whom, for the page of a network."""
    found = Peering.objects.visible_to(user_of(request)).of(network).filter(present=True)
    peerings = list(found.for_display())
    rows = [
        {"peering": each, "other": each.other(network), "asked": each.peer_id == network.pk}
        for each in peerings
    ]
    taken = {each.other(network).pk for each in peerings}
    others = [other for other in _others(request, network) if other.pk not in taken]
    return {"peers": rows, "peering_form": PeeringForm(others=others) if others else None}


def _others(request: HttpRequest, network: Network) -> list[Network]:
    """Those that could be its peers; one that is bridged or has a router of its own has none."""
    if network.own_router or network.is_bridged:
        return []
    rows = Network.objects.writable_by(user_of(request)).filter(
        project=network.project_id, host=network.host_id, present=True, transit_subnet=""
    )
    return list(rows.exclude(pk=network.pk).exclude(mode=Network.Mode.BRIDGED))


@GET_OR_POST
def new(request: HttpRequest, uuid: UUID) -> HttpResponse:
    found = get_for(user_of(request), Network, uuid, write=True)
    bridged.refuse_peers(found, "network")
    refuse_peers(found, "network")
    form = PeeringForm(request.POST or None, others=_others(request, found))
    if request.method == "POST" and form.done(
        lambda data: actions.ask_peering(actor_of(request), network=uuid, **data)
    ):
        return done(request, "The other network has to accept now.", "network", uuid)
    return form_page(request, "peerings/new.html", form, network=found)


@require_POST
def accept(request: HttpRequest, uuid: UUID) -> HttpResponse:
    peering = actions.accept_peering(actor_of(request), uuid)
    return redirect("network", peering.peer.uuid)


@GET_OR_POST
def end(request: HttpRequest, uuid: UUID) -> HttpResponse:
    peering = get_for(user_of(request), Peering, uuid, write=True)
    form = ActionForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.done(
        lambda _: actions.end_peering(actor_of(request), uuid)
    ):
        return done(request, f"{peering} are being parted.", "network", peering.network.uuid)
    return form_page(request, "peerings/end.html", form, peering=peering)
