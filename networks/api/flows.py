"""REST: connections as they are now."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.fields import Body, Shown
from kvmweb.api.schema import answered_by_host
from kvmweb.api.views import actor_of
from networks.api.why import query
from networks.flows import MOST, Of, end_flows, flows


class FlowShown(Shown):
    id = serializers.CharField(source="flow.id", help_text="Its name as long as it lasts.")
    direction = serializers.ChoiceField(["in", "out"])
    forward = serializers.CharField(help_text="The forward it came in by; empty if by none.")
    protocol = serializers.CharField(source="flow.protocol")
    original_source = serializers.CharField(
        source="flow.original_source", help_text="Who opened it; IPv6 as [address]:port."
    )
    original_destination = serializers.CharField(
        source="flow.original_destination", help_text="What they asked for."
    )
    translated_source = serializers.CharField(
        source="flow.translated_source", help_text="As whom they are seen."
    )
    translated_destination = serializers.CharField(
        source="flow.translated_destination", help_text="Who answers."
    )
    state = serializers.CharField(source="flow.state")
    replied = serializers.BooleanField(source="flow.replied")
    timeout = serializers.IntegerField(source="flow.timeout", help_text="Seconds it may idle.")
    age = serializers.FloatField(
        source="flow.age", allow_null=True, help_text="Seconds; null where the host keeps no times."
    )
    bytes_out = serializers.IntegerField(
        source="flow.bytes_out", allow_null=True, help_text="From who opened it; null: not counted."
    )
    bytes_in = serializers.IntegerField(source="flow.bytes_in", allow_null=True)


class FlowsShown(Shown):
    total = serializers.IntegerField(help_text="How many there are.")
    searched = serializers.IntegerField(help_text="How many of them were looked at.")
    flows = FlowShown(many=True)


class Ended(Shown):
    ended = serializers.IntegerField()


class Wanted(Body):
    search = serializers.CharField(default="", allow_blank=True, max_length=100)
    limit = serializers.IntegerField(default=100, min_value=1, max_value=MOST)


class WantedEnd(Body):
    flow = serializers.RegexField("^[0-9a-f]*$", default="", allow_blank=True, max_length=16)


lists_flows = answered_by_host(
    FlowsShown,
    OpenApiParameter("search", str, description="Part of an address, a port, protocol or state."),
    OpenApiParameter("limit", int),
)
ends_flows = answered_by_host(
    Ended, OpenApiParameter("flow", str, description="The `id` of one; all when absent.")
)


def listing(request: Request, of: Of) -> Response:
    return Response(FlowsShown(flows(of, **query(request, Wanted))).data)


def ended(request: Request, of: Of) -> Response:
    return Response({"ended": end_flows(actor_of(request), of, **query(request, WantedEnd))})
