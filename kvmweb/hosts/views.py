"""Hosts, for operators."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Count, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from kvmweb.core.access import get_for, is_operator
from kvmweb.core.errors import NotFound
from kvmweb.hosts.facts import total_cpus, total_memory_mib
from kvmweb.hosts.models import Host
from kvmweb.metrics.series import HOST
from kvmweb.metrics.window import Thing
from kvmweb.ui.charts import Chart, Line, charts_of
from kvmweb.ui.requests import user_of, writable_ids


def hosts(request: HttpRequest) -> HttpResponse:
    if not is_operator(user_of(request)):
        raise NotFound("There is no such page.")
    rows = Host.objects.visible_to(user_of(request)).prefetch_related("public_addresses")
    counted = rows.annotate(
        network_count=Count("networks", distinct=True), vm_count=Count("vms", distinct=True)
    )
    return render(request, "hosts/hosts.html", {"hosts": counted})


def host(request: HttpRequest, uuid: UUID) -> HttpResponse:
    found = get_for(user_of(request), Host, uuid)
    return render(request, "hosts/host.html", {"host": found, **_context(request, found)})


@require_safe
def metrics(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """How busy a host was."""
    found = get_for(user_of(request), Host, uuid)
    charts = charts_of(
        request,
        Thing(HOST, found.uuid, found.uuid),
        _charts(found),
        data_url=reverse("api:host-metrics", args=[uuid]),
        live_url="",
    )
    return render(request, "hosts/metrics.html", {"host": found, **charts})


def _charts(host: Host) -> tuple[Chart, ...]:
    cpus = total_cpus(host) or 1
    memory = (total_memory_mib(host) or 0) << 20
    return (
        Chart("CPU", "percent", (Line("cpu", "Used", 100 / cpus),), 100, f"Of {cpus} processors."),
        Chart("Memory", "bytes", (Line("memory_used", "In use"),), memory, "Guests included."),
        Chart("Guests", "number", (Line("guests", "Running"),), 5),
    )


def attachables(host: Host) -> list[dict[str, Any]]:
    """What guests could be put on, and what operators have released of it."""
    released = {each.interface: each for each in host.attachments.all()}
    told = [
        {**each, "released": released.pop(each["interface"], None)}
        for each in host.facts.get("attachables", ())
    ]
    gone = [
        {"interface": each.interface, "kind": each.kind, "released": each, "gone": True}
        for each in released.values()
    ]
    return [*told, *gone]


def _context(request: HttpRequest, found: Host) -> dict[str, Any]:
    given = found.vms.filter(present=True).aggregate(cpus=Sum("vcpus"), memory=Sum("memory_mib"))
    return {
        "addresses": found.public_addresses.annotate(open=Count("claims")).prefetch_related(
            "panel_names__job"
        ),
        "networks": found.networks.for_display(),
        "remedies": found.remedies.select_related("asked_by")[:5],
        "attachables": attachables(found),
        "drifts": found.drifts.for_display()[:20],
        "writable": writable_ids(request),
        "vms": found.vms.for_display(),
        "cpus": total_cpus(found),
        "cpus_given": given["cpus"] or 0,
        "memory": total_memory_mib(found),
        "memory_given": given["memory"] or 0,
        "processes": [
            ("Monitor", found.monitor_seen_at),
            ("Network worker", found.net_seen_at),
            ("VM worker", found.vm_seen_at),
        ],
    }
