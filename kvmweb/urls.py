"""Every address of the panel."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("kvmweb.ui.urls")),
    path("", include("vms.urls")),
    path("", include("networks.urls")),
    path("", include("kvmweb.jobs.urls")),
    path("", include("kvmweb.hosts.urls")),
    path("api/v1/", include("kvmweb.api.urls")),
    path("admin/", admin.site.urls),
]
