"""Pages of hosts."""

from django.urls import path

from kvmweb.hosts import views

urlpatterns = [
    path("hosts/", views.hosts, name="hosts"),
    path("hosts/<uuid:uuid>/", views.host, name="host"),
    path("hosts/<uuid:uuid>/metrics/", views.metrics, name="host-metrics"),
]
