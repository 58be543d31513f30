"""REST: what the firewall refused lately."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.fields import Body, Shown
from kvmweb.api.schema import answered_by_host
from networks.api.why import query
from networks.flows import Of
from networks.refused import MOST, Reason, refused


class RefusalShown(Shown):
    at = serializers.DateTimeField(help_text="When the last of the packets was refused.")
    reason = serializers.ChoiceField(Reason.choices, source="told.reason")
    why = serializers.CharField(help_text="The same in words.")
    source = serializers.CharField(  # type: ignore[assignment]
        source="told.source", help_text="Empty for a guest of another network of the host."
    )
    destination = serializers.CharField(source="told.destination")
    protocol = serializers.CharField(source="told.protocol")
    port = serializers.IntegerField(
        source="told.port", help_text="The destination's, a guest's own one; 0 where there is none."
    )
    packets = serializers.IntegerField(source="told.packets")
    reservation = serializers.UUIDField(
        source="guest.uuid", default=None, allow_null=True, help_text="The guest it is about."
    )
    forward = serializers.UUIDField(
        source="forward.uuid",
        default=None,
        allow_null=True,
        help_text="The forward that refused it, where it is known.",
    )


class RefusedShown(Shown):
    logs = serializers.BooleanField(
        help_text="Whether it is noted at all, see `logs_refused` of networks."
    )
    total = serializers.IntegerField(help_text="How many there are.")
    refused = RefusalShown(many=True, help_text="The latest first.")


class WantedRefused(Body):
    limit = serializers.IntegerField(default=100, min_value=1, max_value=MOST)


lists_refused = answered_by_host(RefusedShown, OpenApiParameter("limit", int))


def refused_listing(request: Request, of: Of) -> Response:
    return Response(RefusedShown(refused(of, **query(request, WantedRefused))).data)
