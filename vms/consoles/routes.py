"""Where sockets of consoles are."""

from django.urls import path

from vms.consoles.socket import console

routes = [path("ws/consoles/<str:ticket>/", console)]  # type: ignore[arg-type]  # an ASGI application
