"""Pages that show NAT at work: why, and the connections there are."""

from django.urls import path

from networks.views import why

urlpatterns = [
    path("forwards/<uuid:uuid>/why/", why.forward, name="forward-why"),
    path("forwards/<uuid:uuid>/why/now/", why.forward_now, name="forward-why-now"),
    path("reservations/<uuid:uuid>/why/", why.outside, name="reservation-why"),
    path("reservations/<uuid:uuid>/why/now/", why.outside_now, name="reservation-why-now"),
]
