"""What networks and forwards carried over time."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from kvmweb.core.access import get_for
from kvmweb.ui.charts import Chart, Line, charts_of
from kvmweb.ui.requests import user_of
from networks.carried import thing_of
from networks.models import Forward, Network

_BITS = 8


@require_safe
def network(request: HttpRequest, uuid: UUID) -> HttpResponse:
    get_for(user_of(request), Network, uuid)
    found = Network.objects.visible_to(user_of(request)).select_related("host").get(uuid=uuid)
    about = "Between guests and elsewhere; what guests of it send each other is not counted."
    return _page(request, found, found, _charts("Guests received", "Guests sent", about))


@require_safe
def forward(request: HttpRequest, uuid: UUID) -> HttpResponse:
    get_for(user_of(request), Forward, uuid)
    rows = Forward.objects.visible_to(user_of(request))
    found = rows.select_related("network__host", "public_address").get(uuid=uuid)
    charts = (
        *_charts("From clients", "To clients", "Through this forward."),
        Chart("New connections", "/s", (Line("connections", "Let through"),)),
    )
    return _page(request, found, found.network, charts)


def _page(
    request: HttpRequest, of: Network | Forward, network: Network, charts: tuple[Chart, ...]
) -> HttpResponse:
    kind = "network" if isinstance(of, Network) else "forward"
    context = charts_of(
        request,
        thing_of(of, network.host),
        charts,
        data_url=reverse(f"api:{kind}-metrics", args=[of.uuid]),
        live_url=f"/ws/metrics/{kind}/{of.uuid}/",
    )
    name = of.name if isinstance(of, Network) else of.public_endpoint
    back = reverse(kind, args=[of.uuid])
    return render(request, "charts/of_network.html", {"name": name, "back_url": back, **context})


def _charts(inward: str, outward: str, about: str) -> tuple[Chart, ...]:
    bits = (Line("bytes_in", inward, _BITS), Line("bytes_out", outward, _BITS))
    packets = (Line("packets_in", inward), Line("packets_out", outward))
    return Chart("Traffic", "bits/s", bits, about=about), Chart("Packets", "/s", packets)
