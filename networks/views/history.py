"""Who had a public address and port, for operators."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from kvmweb.core.access import is_operator
from kvmweb.core.errors import NotFound
from kvmweb.ui.requests import user_of
from networks.forms.history import WhoForm
from networks.models import Holding

PAGE_SIZE = 50


def who(request: HttpRequest) -> HttpResponse:
    if not is_operator(user_of(request)):
        raise NotFound("There is no such page.")
    form = WhoForm(request.GET or None)
    rows = Holding.objects.visible_to(user_of(request)).for_display()
    if form.is_bound:
        rows = form.narrowed(rows) if form.is_valid() else rows.none()
    page = Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    query = request.GET.copy()
    query.pop("page", None)
    return render(
        request, "networks/who.html", {"form": form, "page": page, "query": query.urlencode()}
    )
