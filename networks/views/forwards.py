"""Forwards."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from kvmweb.core.access import get_for
from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.ui.answers import done, form_page, safe_next
from kvmweb.ui.forms import ActionForm
from kvmweb.ui.listing import Choice, listing
from kvmweb.ui.requests import actor_of, current_project, may_write, user_of, writable_ids
from networks import actions, ports
from networks.forms.forwards import ForwardChangeForm, ForwardForm
from networks.models import Forward, Reservation
from networks.models.parts import single
from networks.usage import unused

GET_OR_POST = require_http_methods(["GET", "POST"])


def forwards(request: HttpRequest) -> HttpResponse:
    rows = Forward.objects.visible_to(user_of(request)).for_display()
    if project := current_project(request):
        rows = rows.filter(network__project=project)
    found = listing(
        request,
        rows,
        search=["reservation__name", "reservation__address", "public_port", "target_port", "note"],
        sorts={
            "port": ["public_address", "public_port"],
            "name": ["reservation__name", "public_port"],
            "created": ["-created_at"],
            "used": ["-usage__last_used_at"],
        },
        choices={"use": [_unused(days) for days in (7, 30, 90)]},
    )
    context = {"list": found, "writable": writable_ids(request)}
    return render(request, "forwards/forwards.html", context)


def _unused(days: int) -> Choice:
    return Choice(str(days), f"Unused for {days} days", unused(days))


@GET_OR_POST
def new(request: HttpRequest) -> HttpResponse:
    targets = _targets(request)
    initial = {"reservation": request.GET.get("to", "")}
    addresses = ports.addresses_of({target.network.host_id for target in targets})
    form = ForwardForm(request.POST or None, targets=targets, addresses=addresses, initial=initial)
    public = _public_of(targets)
    if public:
        proposed = ports.proposed(public, ["tcp"], 1)
        form.fields["public_port"].widget.attrs["placeholder"] = next(iter(proposed), "")
    if request.method == "POST" and (
        made := form.submit(lambda data: actions.add_forward(actor_of(request), **data))
    ):
        warn(request, made)
        return redirect(safe_next(request) or "forwards")
    return form_page(
        request,
        "forwards/new.html",
        form,
        targets=targets,
        next=safe_next(request),
        public=public,
        caller=own_address(request, addresses),
    )


def own_address(request: HttpRequest, listening: Iterable[PublicAddress]) -> str:
    """Where the person at the browser comes from, if that is something to allow where forwards
    listen on these addresses."""
    try:
        caller = ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return ""
    # A server that listens on both families at once sees IPv4 like this (RFC 4291, 2.5.5.2).
    caller = getattr(caller, "ipv4_mapped", None) or caller
    families = {6 if public.is_ipv6 else 4 for public in listening}
    return "" if caller.is_loopback or caller.version not in families else str(caller)


def _targets(request: HttpRequest) -> list[Reservation]:
    rows = Reservation.objects.writable_by(user_of(request)).targets()
    if project := current_project(request):
        rows = rows.filter(network__project=project)
    return list(rows.select_related("network__host").order_by("network__name", "name"))


def _public_of(targets: list[Reservation]) -> PublicAddress | None:
    """The address that forwards listen on unless another is asked for."""
    return default_address(targets[0].network.host) if targets else None


def default_address(host: Host) -> PublicAddress | None:
    return host.public_addresses.filter(is_default=True).select_related("host").first()


def warn(request: HttpRequest, made: Forward) -> None:
    """Pass on what is worth knowing about an allowed port."""
    if warning := ports.warning_for(made.public_address, made.public_port, made.ports):
        messages.warning(request, warning)


@GET_OR_POST
def forward(request: HttpRequest, uuid: UUID) -> HttpResponse:
    found = _found(request, uuid)
    writable = may_write(request, found.network.project_id)
    form = ForwardChangeForm(
        request.POST or None,
        initial=_as_it_is(found) | _allowing(found, request.GET.get("allow", "")),
        targets=_siblings(found),
        whole=found.is_whole,
    )
    if request.method == "POST" and form.done(
        lambda data: actions.change_forward(actor_of(request), uuid, **data)
    ):
        return done(request, "The forward is being changed.", "forwards")
    context: dict[str, Any] = {
        "forward": found,
        "may_write": writable,
        "caller": own_address(request, [found.public_address]),
        "warning": ports.warning_for(found.public_address, found.public_port, found.ports),
    }
    return form_page(request, "forwards/forward.html", form, **context)


def _as_it_is(found: Forward) -> dict[str, Any]:
    """What the form of a forward shows first."""
    return {
        "reservation": str(found.reservation.uuid),
        "target_port": found.target_port,
        "source_nat": found.source_nat,
        "note": found.note,
        "sources": "\n".join(single(source) for source in found.sources),
        "expires_at": found.expires_at,
        "max_connections": found.max_connections,
        "max_rate": found.max_rate,
        "max_burst": found.max_burst,
    }


def _allowing(found: Forward, source: str) -> dict[str, Any]:
    """The sources with one more, which is only saved with the form."""
    sources = [single(each) for each in found.sources]
    try:
        wanted = str(ip_address(source))
    except ValueError:
        return {}
    return {"sources": "\n".join(dict.fromkeys([*sources, wanted]))} if sources else {}


def _siblings(found: Forward) -> list[Reservation]:
    """Where the forward may lead: what is in its network, and where it leads now."""
    own = found.network.reservations.filter(Q(present=True, parked=False) | Q(forwards=found))
    return list(own.distinct().order_by("name"))


@require_POST
def pause(request: HttpRequest, uuid: UUID) -> HttpResponse:
    found = actions.pause_forward(actor_of(request), uuid)
    return done(request, f"{found.public_endpoint} is being closed, and kept.", "forwards")


@require_POST
def extend(request: HttpRequest, uuid: UUID) -> HttpResponse:
    found = actions.extend_forward(actor_of(request), uuid)
    return done(request, f"{found.public_endpoint} stays open longer.", "forwards")


@require_POST
def resume(request: HttpRequest, uuid: UUID) -> HttpResponse:
    found = actions.resume_forward(actor_of(request), uuid)
    return done(request, f"{found.public_endpoint} is being opened.", "forwards")


@GET_OR_POST
def delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    get_for(user_of(request), Forward, uuid, write=True)
    found = _found(request, uuid)
    form = ActionForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.done(
        lambda _: actions.delete_forward(actor_of(request), uuid)
    ):
        return done(request, f"{found.public_endpoint} is being closed.", "forwards")
    return form_page(request, "forwards/delete.html", form, forward=found)


def _found(request: HttpRequest, uuid: UUID) -> Forward:
    found = get_for(user_of(request), Forward, uuid)
    return Forward.objects.visible_to(user_of(request)).for_display().get(pk=found.pk)
