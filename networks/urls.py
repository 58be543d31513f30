"""Pages of networks and forwards."""

from django.urls import path

from networks.views import forwards, hosts, networks

urlpatterns = [
    path("networks/", networks.networks, name="networks"),
    path("networks/new/", networks.new, name="network-new"),
    path("networks/<uuid:uuid>/", networks.network, name="network"),
    path("networks/<uuid:uuid>/rename/", networks.rename, name="network-rename"),
    path("networks/<uuid:uuid>/delete/", networks.delete, name="network-delete"),
    path("networks/<uuid:uuid>/check/", networks.check, name="network-check"),
    path("networks/<uuid:uuid>/repair/", networks.repair, name="network-repair"),
    path(
        "networks/<uuid:uuid>/reservations/new/", networks.reservation_new, name="reservation-new"
    ),
    path(
        "reservations/<uuid:uuid>/delete/", networks.reservation_delete, name="reservation-delete"
    ),
    path("hosts/<uuid:uuid>/repairs/", hosts.repairs, name="host-repairs"),
    path("forwards/", forwards.forwards, name="forwards"),
    path("forwards/new/", forwards.new, name="forward-new"),
    path("forwards/<uuid:uuid>/", forwards.forward, name="forward"),
    path("forwards/<uuid:uuid>/pause/", forwards.pause, name="forward-pause"),
    path("forwards/<uuid:uuid>/resume/", forwards.resume, name="forward-resume"),
    path("forwards/<uuid:uuid>/delete/", forwards.delete, name="forward-delete"),
]
