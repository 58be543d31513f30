"""The settings of a network."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods

from kvmweb.core.access import get_for
from kvmweb.ui.answers import done, form_page
from kvmweb.ui.requests import actor_of, user_of
from networks import actions
from networks.actions.settings import settings_of
from networks.forms.networks import SettingsForm, settings_fields
from networks.models import Network
from networks.ports import addresses_of

_LONGEST = 100


@require_http_methods(["GET", "POST"])
def settings(request: HttpRequest, uuid: UUID) -> HttpResponse:
    found = get_for(user_of(request), Network, uuid, write=True)
    form = SettingsForm(
        request.POST or None,
        settings=settings_of(found),
        fields=settings_fields(found),
        addresses=[each for each in addresses_of([found.host_id]) if not each.is_ipv6],
    )
    form.add_place(request.GET.get("place", "")[:_LONGEST])
    if request.method == "POST" and form.done(
        lambda data: actions.change_network(actor_of(request), uuid, **data)
    ):
        return done(request, "The network is being changed.", "network", uuid)
    return form_page(request, "networks/settings.html", form, network=found)
