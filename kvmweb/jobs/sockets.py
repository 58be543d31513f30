"""Addresses of sockets, and programs' way to them by API token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.db import database_sync_to_async
from channels.routing import URLRouter
from channels.security.websocket import AllowedHostsOriginValidator, WebsocketDenier
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.urls import URLPattern, path, re_path

from kvmweb.jobs.consumers import EventsConsumer, JobConsumer
from kvmweb.projects.actions import user_of_token

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]
BEARER = b"bearer "


def serving(more: Sequence[URLPattern]) -> App:
    """The sockets of jobs and events, and `more`."""
    routes = URLRouter(
        [
            path("ws/jobs/<uuid:uuid>/", JobConsumer.as_asgi()),
            path("ws/events/", EventsConsumer.as_asgi()),
            *more,
            re_path(r"", WebsocketDenier.as_asgi()),
        ]
    )
    # A page of another site can open a socket with the user's cookie, so the origin is checked; it
    # can not set a header, so one that brings a token is a program.
    for_browsers: App = AllowedHostsOriginValidator(AuthMiddlewareStack(routes))

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        """For browsers by session, for programs by `Authorization: Bearer …`."""
        header = dict(scope["headers"]).get(b"authorization", b"")
        if header[: len(BEARER)].lower() != BEARER:
            app = (
                for_browsers if _is_our_page(dict(scope["headers"])) else WebsocketDenier.as_asgi()
            )
            await app(scope, receive, send)
            return
        secret = header[len(BEARER) :].decode("latin-1").strip()
        found = await database_sync_to_async(user_of_token)(secret)
        user = found[0] if found else AnonymousUser()
        await routes({**scope, "user": user, "token": secret}, receive, send)

    return application


def _is_our_page(headers: dict[bytes, bytes]) -> bool:
    """Whether the socket's page came from the panel's own port: guests may serve pages on others
    of the same host, and cookies know no ports.
    """
    origin = headers.get(b"origin", b"").decode("latin-1").lower()
    host = headers.get(b"host", b"").decode("latin-1").lower()
    return origin.partition("://")[2] == host or origin in settings.CSRF_TRUSTED_ORIGINS
