"""Pages of images."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from kvmweb.ui.requests import user_of
from vms.models import Image


def images(request: HttpRequest) -> HttpResponse:
    rows = Image.objects.visible_to(user_of(request)).select_related("project")
    return render(request, "vms/images.html", {"images": rows})
