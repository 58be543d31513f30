"""Pages of the panel's own names, for operators."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from kvmweb.core.access import get_for
from kvmweb.hosts.models import Host
from kvmweb.ui.answers import done, form_page
from kvmweb.ui.forms import ActionForm
from kvmweb.ui.requests import actor_of, user_of
from networks import actions
from networks.forms.panel import NewPanelForm, PanelForm
from networks.models import PanelName
from networks.models.panel import panel_address, panel_port

GET_OR_POST = require_http_methods(["GET", "POST"])


@sensitive_post_parameters("private_key")
@GET_OR_POST
def new(request: HttpRequest, uuid: UUID) -> HttpResponse:
    host = get_for(user_of(request), Host, uuid)
    form = NewPanelForm(
        request.POST or None,
        request.FILES or None,
        initial={"address": panel_address(), "port": panel_port()},
    )
    rows = host.public_addresses.exclude(address__contains=":")
    form.fields["public_address"].choices = [  # type: ignore[attr-defined]
        (str(row.uuid), row.address) for row in rows
    ]
    if request.method == "POST" and form.done(
        lambda data: actions.add_panel_name(actor_of(request), **data)
    ):
        return done(request, "The panel gets its name.", "host", uuid)
    return form_page(request, "panel/new.html", form, host=host)


@sensitive_post_parameters("private_key")
@GET_OR_POST
def panel(request: HttpRequest, uuid: UUID) -> HttpResponse:
    found = _found(request, uuid)
    form = PanelForm(
        request.POST or None,
        request.FILES or None,
        initial={"address": found.address, "port": found.port},
    )
    if request.method == "POST" and form.done(
        lambda data: actions.change_panel_name(actor_of(request), uuid, **data)
    ):
        return done(request, "The panel's name is being changed.", "panel", uuid)
    return form_page(request, "panel/panel.html", form, panel=found)


@GET_OR_POST
def delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    found = _found(request, uuid)
    form = ActionForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.done(
        lambda _: actions.delete_panel_name(actor_of(request), uuid)
    ):
        return done(request, f"{found.name} is being given up.", "host", found.host.uuid)
    return form_page(request, "panel/delete.html", form, panel=found)


def _found(request: HttpRequest, uuid: UUID) -> PanelName:
    found = get_for(user_of(request), PanelName, uuid)
    return PanelName.objects.visible_to(user_of(request)).for_display().get(pk=found.pk)
