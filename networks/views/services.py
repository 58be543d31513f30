"""What a network serves its guests, and what is fixed for one of them."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from kvmweb.core.access import get_for
from kvmweb.ui.answers import form_page
from kvmweb.ui.requests import actor_of, user_of
from networks import actions, bridged
from networks.forms.services import ReservationChangeForm, ServicesForm
from networks.models import Network, Reservation


@require_http_methods(["GET", "POST"])
def services(request: HttpRequest, uuid: UUID) -> HttpResponse:
    found = get_for(user_of(request), Network, uuid, write=True)
    bridged.refuse(found, "dns_domain", f"{bridged.OUTSIDE}, and so are names and leases")
    form = ServicesForm(request.POST or None, network=found)
    if request.method == "POST" and form.done(
        lambda data: actions.set_services(actor_of(request), uuid, **data)
    ):
        return redirect("network", uuid)
    return form_page(request, "networks/services.html", form, network=found)


@require_http_methods(["GET", "POST"])
def reservation(request: HttpRequest, uuid: UUID) -> HttpResponse:
    found = get_for(user_of(request), Reservation, uuid, write=True)
    fields = ("name", "address", "max_down_mbit", "max_up_mbit")
    initial = {name: getattr(found, name) for name in fields}
    form = ReservationChangeForm(request.POST or None, initial=initial)
    if found.network.is_bridged:
        del form.fields["address"]
    if request.method == "POST" and form.done(
        lambda data: actions.change_reservation(actor_of(request), uuid, **data)
    ):
        return redirect("network", found.network.uuid)
    return form_page(request, "networks/reservation.html", form, reservation=found)
