"""What the firewall refused: of a network here, of a VM in `vms.views.refused`.

The page is there at once; the list comes into it and is read again while somebody looks.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from kvmweb.core.access import get_for
from kvmweb.hosts.ask import HostCannotSay, HostSilent
from kvmweb.ui.asking import asks_host
from kvmweb.ui.requests import may_write, user_of
from networks.flows import Of, of_network
from networks.models import Network
from networks.refused import REMEMBERED, is_noted, networks_of, refused, unnoted


@require_safe
def network(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return refused_page(request, of_network(get_for(user_of(request), Network, uuid)))


@asks_host
@require_safe
def network_now(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return refused_now(request, of_network(get_for(user_of(request), Network, uuid)))


def refused_page(request: HttpRequest, of: Of) -> HttpResponse:
    """The page, before the host is asked."""
    return render(request, "refused/refused.html", _context(request, of))


def refused_now(request: HttpRequest, of: Of) -> HttpResponse:
    """What the host says now: a part of the page, or a page where there is no script."""
    context = _context(request, of)
    try:
        if context["unnoted"] is None:
            context["listing"] = refused(of)
    except (HostSilent, HostCannotSay) as error:
        context["error"] = error
    whole = not getattr(request, "htmx", False)
    return render(request, "refused/now.html" if whole else "refused/_now.html", context)


def _context(request: HttpRequest, of: Of) -> dict[str, Any]:
    return {
        "of": of,
        "may_write": may_write(request, of.network.project_id),
        "is_noted": is_noted(of),
        "unnoted": unnoted(of),
        "networks": networks_of(of),
        "minutes": REMEMBERED,
        "back_url": reverse(of.kind, args=[of.subject.uuid]),
        "page_url": reverse(f"{of.kind}-refused", args=[of.subject.uuid]),
        "now_url": reverse(f"{of.kind}-refused-now", args=[of.subject.uuid]),
    }
