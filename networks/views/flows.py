"""Live connections: of a forward and of a network here, of a VM in `vms.views.flows`.

The page is there at once; the list comes into it and is read again while somebody looks.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from kvmweb.core.access import get_for
from kvmweb.hosts.ask import HostCannotSay, HostSilent
from kvmweb.ui.asking import asks_host
from kvmweb.ui.requests import actor_of, may_write, user_of
from networks.flows import Of, end_flows, flows, of_forward, of_network
from networks.models import Forward, Network

_LONGEST = 100


@require_safe
def forward(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return flows_page(request, of_forward(_forward(request, uuid)))


@asks_host
@require_safe
def forward_now(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return flows_now(request, of_forward(_forward(request, uuid)))


@asks_host
@require_POST
def forward_end(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return flows_end(request, of_forward(get_for(user_of(request), Forward, uuid, write=True)))


@require_safe
def network(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return flows_page(request, of_network(get_for(user_of(request), Network, uuid)))


@asks_host
@require_safe
def network_now(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return flows_now(request, of_network(get_for(user_of(request), Network, uuid)))


@asks_host
@require_POST
def network_end(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return flows_end(request, of_network(get_for(user_of(request), Network, uuid, write=True)))


def flows_page(request: HttpRequest, of: Of) -> HttpResponse:
    """The page, before the host is asked."""
    return render(request, "flows/flows.html", _context(request, of))


def flows_now(request: HttpRequest, of: Of) -> HttpResponse:
    """What the host says now: a part of the page, or a page where there is no script."""
    context = _context(request, of)
    try:
        if of.unseen is None:
            context["listing"] = flows(of, search=context["search"])
    except (HostSilent, HostCannotSay) as error:
        context["error"] = error
    whole = not getattr(request, "htmx", False)
    return render(request, "flows/now.html" if whole else "flows/_now.html", context)


def flows_end(request: HttpRequest, of: Of) -> HttpResponse:
    """End one or all, and back to the list."""
    try:
        count = end_flows(actor_of(request), of, flow=request.POST.get("flow", "")[:16])
    except (HostSilent, HostCannotSay) as error:
        messages.error(request, f"{error.message} {error.remedy}".strip())
    else:
        messages.success(request, f"{count} connection{'' if count == 1 else 's'} ended.")
    return redirect(f"{of.kind}-flows", of.subject.uuid)


def _forward(request: HttpRequest, uuid: UUID) -> Forward:
    get_for(user_of(request), Forward, uuid)
    return Forward.objects.visible_to(user_of(request)).for_display().get(uuid=uuid)


def _context(request: HttpRequest, of: Of) -> dict[str, Any]:
    named = {step: f"{of.kind}-flows{step}" for step in ("", "-now", "-end")}
    page, now, end = (reverse(name, args=[of.subject.uuid]) for name in named.values())
    return {
        "of": of,
        "may_write": may_write(request, of.network.project_id),
        "search": request.GET.get("search", "").strip()[:_LONGEST],
        "back_url": reverse(of.kind, args=[of.subject.uuid]),
        "page_url": page,
        "now_url": now + (f"?{request.GET.urlencode()}" if request.GET else ""),
        "end_url": end,
    }
