"""REST: consoles of VMs."""

from __future__ import annotations

from base64 import b64encode
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.fields import Body, Shown
from kvmweb.api.views import actor_of
from kvmweb.projects.models import ApiToken
from vms import actions
from vms.models import Console, Vm
from vms.pictures import newest


class ConsoleShown(Shown):
    id = serializers.UUIDField(source="uuid")
    kind = serializers.ChoiceField(Console.Kind.choices)
    user = serializers.CharField(source="user.username")
    types = serializers.BooleanField(source="has_control", help_text="Of all, one types.")
    opened_at = serializers.DateTimeField()


class NewConsole(Body):
    kind = serializers.ChoiceField(Console.Kind.choices)


class ConsoleOffered(Shown):
    id = serializers.UUIDField(source="uuid")
    kind = serializers.ChoiceField(Console.Kind.choices)
    socket = serializers.CharField(help_text="Path of a websocket; the ticket is its last part.")
    expires_at = serializers.DateTimeField()


class OneConsole(Body):
    console = serializers.UUIDField(help_text="One that you have open.")


lists_consoles = extend_schema(responses=ConsoleShown(many=True))


class PictureShown(Shown):
    taken_at = serializers.DateTimeField(allow_null=True, help_text="null where there is none.")
    png = serializers.CharField(help_text="The PNG in base64; empty where there is none.")


shows_picture = extend_schema(responses=PictureShown)


def pictured(vm: Vm) -> Response:
    """The newest picture of a VM."""
    found = newest(vm)
    png = b64encode(found.png).decode() if found else ""
    data = {"taken_at": found.taken_at if found else None, "png": png}
    return Response(PictureShown(data).data)


def socket_of(ticket: str) -> str:
    """Where a ticket opens its console."""
    return f"/ws/consoles/{ticket}/"


def offered(request: Request, uuid: UUID, body: dict[str, Any]) -> Response:
    """201 and where the console may be opened, by who asks alone."""
    console, ticket = actions.offer_console(
        actor_of(request), uuid, kind=body["kind"], holder=_holder(request)
    )
    data = {
        "uuid": console.uuid,
        "kind": console.kind,
        "socket": socket_of(ticket),
        "expires_at": console.expires_at,
    }
    return Response(ConsoleOffered(data).data, status.HTTP_201_CREATED)


def _holder(request: Request) -> str:
    if isinstance(request.auth, ApiToken):
        return actions.token_holder(request.auth.uuid)
    return actions.session_holder(request.session.session_key or "")
