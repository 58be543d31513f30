"""IPv6 of a network."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods

from kvmweb.core.access import get_for
from kvmweb.ui.answers import done, form_page
from kvmweb.ui.requests import actor_of, user_of
from networks import actions, bridged
from networks.forms.ipv6 import Ipv6Form
from networks.models import Network
from networks.ports import addresses_of


@require_http_methods(["GET", "POST"])
def ipv6(request: HttpRequest, uuid: UUID) -> HttpResponse:
    found = get_for(user_of(request), Network, uuid, write=True)
    bridged.refuse(found, "ipv6", f"{bridged.OUTSIDE}, of IPv6 too")
    addresses = [each for each in addresses_of([found.host_id]) if each.is_ipv6]
    form = Ipv6Form(request.POST or None, network=found, addresses=addresses)
    if request.method == "POST" and form.done(
        lambda data: actions.set_ipv6(actor_of(request), uuid, **data)
    ):
        return done(request, "IPv6 of the network is being changed.", "network", uuid)
    return form_page(request, "networks/ipv6.html", form, network=found)
