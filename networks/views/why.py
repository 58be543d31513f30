"""Why something is (not) reachable. The page is there at once; what the host says comes into it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from kvmweb.core.access import get_for
from kvmweb.core.errors import Invalid
from kvmweb.hosts.ask import HostCannotSay, HostSilent
from kvmweb.ui.asking import asks_host
from kvmweb.ui.requests import may_write, user_of
from networks.forms.why import WayForm
from networks.models import Forward, HostName, Peering, Reservation
from networks.why import Explanation, why_forward, why_guest, why_host_name, why_peering

Ask = Callable[[], Explanation]


@require_safe
def forward(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return render(request, "why/forward.html", _forward_context(request, uuid))


@asks_host
@require_safe
def forward_now(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """What the host says: a part of the page above, or a page where there is no script."""
    context = _forward_context(request, uuid)
    wanted = {"source": context["source"], "protocol": context["protocol"]}
    found = context["forward"]
    return _answered(request, context, lambda: why_forward(user_of(request), found, **wanted))


@require_safe
def outside(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return render(request, "why/outside.html", _outside_context(request, uuid))


@asks_host
@require_safe
def outside_now(request: HttpRequest, uuid: UUID) -> HttpResponse:
    context = _outside_context(request, uuid)
    found, form = context["reservation"], context["form"]
    if not form.is_valid():
        return _answered(request, context, lambda: _refused(form))
    wanted = form.cleaned_data
    return _answered(request, context, lambda: why_guest(user_of(request), found, **wanted))


@require_safe
def peering(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return render(request, "why/peering.html", _peering_context(request, uuid))


@asks_host
@require_safe
def peering_now(request: HttpRequest, uuid: UUID) -> HttpResponse:
    context = _peering_context(request, uuid)
    found = context["peering"]
    return _answered(request, context, lambda: why_peering(user_of(request), found))


@require_safe
def host_name(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return render(request, "why/host_name.html", _host_name_context(request, uuid))


@asks_host
@require_safe
def host_name_now(request: HttpRequest, uuid: UUID) -> HttpResponse:
    context = _host_name_context(request, uuid)
    found = context["name"]
    return _answered(request, context, lambda: why_host_name(user_of(request), found))


def _refused(form: WayForm) -> Explanation:
    field, said = next(iter(form.errors.items()))
    raise Invalid(str(said[0]), field=field)


def _peering_context(request: HttpRequest, uuid: UUID) -> dict[str, Any]:
    get_for(user_of(request), Peering, uuid)
    found = Peering.objects.visible_to(user_of(request)).for_display().get(uuid=uuid)
    return {
        "peering": found,
        "network": found.network,
        "may_write": may_write(request, found.network.project_id),
        "query": "",
        "now": "peering-why-now",
        "subject": found,
    }


def _host_name_context(request: HttpRequest, uuid: UUID) -> dict[str, Any]:
    get_for(user_of(request), HostName, uuid)
    found = HostName.objects.visible_to(user_of(request)).for_display().get(uuid=uuid)
    context = _context(request, found.reservation)
    return context | {"name": found, "now": "host-name-why-now", "subject": found}


def _answered(request: HttpRequest, context: dict[str, Any], ask: Ask) -> HttpResponse:
    """A host that does not answer is news for the page, not an error of it."""
    try:
        context["explanation"] = ask()
    except (HostSilent, HostCannotSay, Invalid) as error:
        context["error"] = error
    whole = not getattr(request, "htmx", False)
    return render(request, "why/now.html" if whole else "why/_now.html", context)


def _forward_context(request: HttpRequest, uuid: UUID) -> dict[str, Any]:
    get_for(user_of(request), Forward, uuid)
    found = Forward.objects.visible_to(user_of(request)).for_display().get(uuid=uuid)
    context = _context(request, found.reservation)
    return context | {
        "forward": found,
        "source": _source(request),
        "protocol": request.GET.get("protocol", ""),
        "own_address": request.META.get("REMOTE_ADDR", ""),
        "now": "forward-why-now",
        "subject": found,
    }


def _source(request: HttpRequest) -> str:
    return request.GET.get("source", "").strip()


def _outside_context(request: HttpRequest, uuid: UUID) -> dict[str, Any]:
    found = get_for(user_of(request), Reservation, uuid)
    context = _context(request, found)
    form = WayForm(request.GET or None) if request.GET else WayForm({"way": "out"})
    return context | {"now": "reservation-why-now", "subject": found, "form": form}


def _context(request: HttpRequest, reservation: Reservation) -> dict[str, Any]:
    nic = getattr(reservation, "nic", None)
    return {
        "reservation": reservation,
        "vm": nic.vm if nic else None,
        "network": reservation.network,
        "may_write": may_write(request, reservation.network.project_id),
        "query": request.GET.urlencode(),
    }
