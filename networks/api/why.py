"""REST: why something is (not) reachable."""

from __future__ import annotations

from typing import Any, get_args

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.fields import Body, PortField, Shown
from kvmweb.api.schema import answered_by_host
from networks.host.explain.steps import Verdict
from networks.why import Explanation


class WayStepShown(Shown):
    key = serializers.CharField(help_text="For programs, such as `dnat` or `chain:ip filter …`.")
    title = serializers.CharField(help_text="What should be so.")
    verdict = serializers.ChoiceField(get_args(Verdict))
    found = serializers.CharField()
    wanted = serializers.CharField(help_text="Empty where nothing is missing.")
    remedy = serializers.CharField(help_text="What to do about it; may be empty.")
    detail = serializers.CharField(help_text="What only operators may know; else empty.")


class ExplanationShown(Shown):
    reachable = serializers.BooleanField(
        allow_null=True, help_text="Null: nothing is broken, and yet not all could be told."
    )
    broken = serializers.CharField(
        source="broken.key", default="", help_text="The `key` of the first broken step, or empty."
    )
    steps = WayStepShown(many=True, help_text="In the order of the packet.")


class Trying(Body):
    """Who tries, and how."""

    source = serializers.IPAddressField(default="")  # type: ignore[assignment]
    protocol = serializers.ChoiceField(["tcp", "udp"], default="")


class TryingPort(Trying):
    public_address = serializers.IPAddressField()
    public_port = PortField()


class TryingGuest(Body):
    """Which way, and to or from where."""

    way = serializers.ChoiceField(["out", "in"], default="out")
    address = serializers.IPAddressField(default="")
    protocol = serializers.ChoiceField(["tcp", "udp", "icmp"], default="tcp")
    port = serializers.IntegerField(min_value=0, max_value=65535, default=0)
    version = serializers.ChoiceField([4, 6], default=4)


_SOURCE = OpenApiParameter("source", str, description="The address of who tries, if known.")
_PROTOCOL = OpenApiParameter("protocol", str, enum=["tcp", "udp"])
explains = answered_by_host(ExplanationShown)
explains_guest = answered_by_host(
    ExplanationShown,
    OpenApiParameter(
        "way",
        str,
        enum=["out", "in"],
        description="From the guest to the outside, or from there to the guest by its own address.",
    ),
    OpenApiParameter("address", str, description="The other end, if known."),
    OpenApiParameter("protocol", str, enum=["tcp", "udp", "icmp"]),
    OpenApiParameter("port", int, description="The destination's port, if known."),
    OpenApiParameter(
        "version", int, enum=[4, 6], description="Of IP, where no address says it; else 4."
    ),
)
explains_forward = answered_by_host(ExplanationShown, _SOURCE, _PROTOCOL)
explains_port = answered_by_host(
    ExplanationShown,
    _SOURCE,
    _PROTOCOL,
    OpenApiParameter("public_address", str, required=True),
    OpenApiParameter("public_port", int, required=True),
    name="forwards_explain_port",
)


def query(request: Request, fields: type[Body]) -> dict[str, Any]:
    """The checked query parameters."""
    read = fields(data=request.query_params.dict())
    read.is_valid(raise_exception=True)
    return dict(read.validated_data)


def shown(explanation: Explanation) -> Response:
    return Response(ExplanationShown(explanation).data)
