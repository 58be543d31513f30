"""What was measured of a VM."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from kvmweb.ui.charts import Chart, Line, charts_of
from vms.metrics import thing_of
from vms.models import Vm
from vms.views.vms import context_of

_PERCENT, _BITS = 100, 8
_MEMORY = (
    Line("memory", "Given to it"),
    Line("memory_used", "Used inside"),
    Line("memory_host", "Taken from the host"),
)


@require_safe
def metrics(request: HttpRequest, uuid: UUID) -> HttpResponse:
    context = context_of(request, uuid, "metrics")
    vm: Vm = context["vm"]
    context |= charts_of(
        request,
        thing_of(vm),
        _charts(vm),
        data_url=reverse("api:vm-metrics", args=[uuid]),
        live_url=f"/ws/metrics/vm/{uuid}/",
    )
    return render(request, "vms/metrics.html", context)


def _charts(vm: Vm) -> tuple[Chart, ...]:
    virtual = "1 virtual CPU" if vm.vcpus == 1 else f"{vm.vcpus} virtual CPUs"
    return (
        Chart(
            "CPU", "percent", (Line("cpu", "Used", _PERCENT / vm.vcpus),), 100, f"Of its {virtual}."
        ),
        Chart("Memory", "bytes", _MEMORY),
        Chart(
            "Network", "bits/s", (Line("received", "Received", _BITS), Line("sent", "Sent", _BITS))
        ),
        Chart("Disk", "bytes/s", (Line("disk_read", "Read"), Line("disk_written", "Written"))),
        Chart(
            "Packets",
            "/s",
            (
                Line("packets_received", "Received"),
                Line("packets_sent", "Sent"),
                Line("packets_dropped", "Dropped"),
            ),
        ),
        Chart("Disk requests", "/s", (Line("disk_reads", "Reads"), Line("disk_writes", "Writes"))),
    )
