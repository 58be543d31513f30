"""Pages that show NAT at work: why, and the connections there are."""

from django.urls import path

from networks.views import flows, why

urlpatterns = [
    path("networks/<uuid:uuid>/flows/", flows.network, name="network-flows"),
    path("networks/<uuid:uuid>/flows/now/", flows.network_now, name="network-flows-now"),
    path("networks/<uuid:uuid>/flows/end/", flows.network_end, name="network-flows-end"),
    path("forwards/<uuid:uuid>/flows/", flows.forward, name="forward-flows"),
    path("forwards/<uuid:uuid>/flows/now/", flows.forward_now, name="forward-flows-now"),
    path("forwards/<uuid:uuid>/flows/end/", flows.forward_end, name="forward-flows-end"),
    path("forwards/<uuid:uuid>/why/", why.forward, name="forward-why"),
    path("forwards/<uuid:uuid>/why/now/", why.forward_now, name="forward-why-now"),
    path("reservations/<uuid:uuid>/why/", why.outside, name="reservation-why"),
    path("reservations/<uuid:uuid>/why/now/", why.outside_now, name="reservation-why-now"),
]
