"""Traffic of each month, by project and network: a page and a file."""

from __future__ import annotations

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from kvmweb.ui.requests import current_project, user_of
from networks.models import Traffic
from networks.traffic import as_csv, month_named, totals

MONTHS = 24


@require_safe
def traffic(request: HttpRequest) -> HttpResponse:
    rows = _rows(request)
    months = list(rows.order_by("-month").values_list("month", flat=True).distinct()[:MONTHS])
    wish = month_named(request.GET.get("month", ""))
    month = wish if wish in months else next(iter(months), None)
    of_month = rows.filter(month=month) if month else rows.none()
    context = {
        "months": months,
        "month": month,
        "totals": totals(of_month),
        "networks": of_month.select_related("project").order_by("project__name", "network_name"),
    }
    return render(request, "traffic/traffic.html", context)


@require_safe
def as_file(request: HttpRequest) -> HttpResponse:
    """The same of all months, or of one, for a spreadsheet."""
    rows = _rows(request)
    month = month_named(request.GET.get("month", ""))
    if month is not None:
        rows = rows.filter(month=month)
    name = f"traffic-{month:%Y-%m}.csv" if month else "traffic.csv"
    return HttpResponse(
        as_csv(rows.select_related("project").iterator()),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _rows(request: HttpRequest) -> QuerySet[Traffic]:
    rows = Traffic.objects.visible_to(user_of(request))
    project = current_project(request)
    return rows.filter(project=project) if project else rows
