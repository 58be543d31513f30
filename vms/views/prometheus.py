"""`/metrics`, for Prometheus: with an API token, as everything that programs ask for."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from kvmweb.metrics.writing import rings
from kvmweb.projects.actions import user_of_token
from vms.prometheus import Collector

_BEARER = "bearer "


@login_not_required
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """A browser's session does not open it: who follows a link is to get a page."""
    header = request.headers.get("Authorization", "")
    secret = header[len(_BEARER) :].strip() if header.lower().startswith(_BEARER) else ""
    holder = user_of_token(secret) if secret else None
    if holder is None:
        return HttpResponse(
            "Send an API token of the panel: Authorization: Bearer …\n",
            status=401,
            content_type="text/plain; charset=utf-8",
            headers={"WWW-Authenticate": 'Bearer realm="kvmweb"'},
        )
    user, _token = holder
    text = generate_latest(Collector(user, rings()))
    return HttpResponse(text, content_type=CONTENT_TYPE_PLAIN_0_0_4)
