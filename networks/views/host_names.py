"""Host names."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from kvmweb.core.access import get_for
from kvmweb.ui.answers import done, form_page
from kvmweb.ui.forms import ActionForm
from kvmweb.ui.listing import listing
from kvmweb.ui.requests import actor_of, current_project, may_write, user_of, writable_ids
from networks import actions
from networks.forms.host_names import HostNameForm, ServingForm
from networks.models import HostName, Reservation
from networks.ports import addresses_of
from networks.views.forwards import default_address

GET_OR_POST = require_http_methods(["GET", "POST"])
_SHOWN = (
    "http_port",
    "tls",
    "tls_port",
    "proxy_protocol",
    "reencrypt",
    "redirect",
    "note",
    "expires_at",
)


def host_names(request: HttpRequest) -> HttpResponse:
    rows = HostName.objects.visible_to(user_of(request)).for_display()
    if project := current_project(request):
        rows = rows.filter(network__project=project)
    found = listing(
        request,
        rows,
        search=["name", "reservation__name", "note"],
        sorts={"name": ["name"], "created": ["-created_at"], "used": ["-usage__last_used_at"]},
    )
    context = {"list": found, "writable": writable_ids(request)}
    return render(request, "host_names/host_names.html", context)


@sensitive_post_parameters("private_key")
@GET_OR_POST
def new(request: HttpRequest) -> HttpResponse:
    targets = _targets(request)
    form = HostNameForm(
        request.POST or None,
        request.FILES or None,
        targets=targets,
        addresses=addresses_of({target.network.host_id for target in targets}),
        initial={"reservation": request.GET.get("to", "")},
    )
    if request.method == "POST" and form.done(
        lambda data: actions.add_host_name(actor_of(request), **data)
    ):
        return redirect("host-names")
    public = default_address(targets[0].network.host) if targets else None
    return form_page(request, "host_names/new.html", form, targets=targets, public=public)


def _targets(request: HttpRequest) -> list[Reservation]:
    rows = Reservation.objects.writable_by(user_of(request)).targets()
    if project := current_project(request):
        rows = rows.filter(network__project=project)
    return list(rows.select_related("network__host").order_by("network__name", "name"))


@sensitive_post_parameters("private_key")
@GET_OR_POST
def host_name(request: HttpRequest, uuid: UUID) -> HttpResponse:
    found = _found(request, uuid)
    own = Q(present=True, parked=False) | Q(host_names=found)
    siblings = found.network.reservations.filter(own).distinct().select_related("network")
    form = ServingForm(
        request.POST or None,
        request.FILES or None,
        initial=_as_it_is(found),
        targets=list(siblings.order_by("name")),
    )
    if request.method == "POST" and form.done(
        lambda data: actions.change_host_name(actor_of(request), uuid, **data)
    ):
        return done(request, "The host name is being changed.", "host-names")
    context: dict[str, Any] = {
        "name": found,
        "may_write": may_write(request, found.network.project_id),
    }
    return form_page(request, "host_names/host_name.html", form, **context)


def _as_it_is(found: HostName) -> dict[str, Any]:
    shown = {field: getattr(found, field) for field in _SHOWN}
    return {"reservation": str(found.reservation.uuid), **shown}


@require_POST
def pause(request: HttpRequest, uuid: UUID) -> HttpResponse:
    found = actions.pause_host_name(actor_of(request), uuid)
    return done(request, f"{found.name} is being closed, and kept.", "host-names")


@require_POST
def extend(request: HttpRequest, uuid: UUID) -> HttpResponse:
    found = actions.extend_host_name(actor_of(request), uuid)
    return done(request, f"{found.name} is served longer.", "host-names")


@require_POST
def resume(request: HttpRequest, uuid: UUID) -> HttpResponse:
    found = actions.resume_host_name(actor_of(request), uuid)
    return done(request, f"{found.name} is being served again.", "host-names")


@GET_OR_POST
def delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    get_for(user_of(request), HostName, uuid, write=True)
    found = _found(request, uuid)
    form = ActionForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.done(
        lambda _: actions.delete_host_name(actor_of(request), uuid)
    ):
        return done(request, f"{found.name} is being removed.", "host-names")
    return form_page(request, "host_names/delete.html", form, name=found)


def _found(request: HttpRequest, uuid: UUID) -> HostName:
    found = get_for(user_of(request), HostName, uuid)
    return HostName.objects.visible_to(user_of(request)).for_display().get(pk=found.pk)
