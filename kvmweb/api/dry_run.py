"""`?dry_run=true` on a change: what it would do, and nothing done."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.fields import Shown
from kvmweb.api.schema import PREVIEWS
from kvmweb.core.errors import Invalid
from kvmweb.hosts.preview import preview

PARAMETER = "dry_run"
Handler = Callable[..., Response]


class PlannedShown(Shown):
    sentence = serializers.CharField()
    detail = serializers.ListField(
        child=serializers.CharField(), help_text="Elements, files and settings behind it."
    )


class PlanShown(Shown):
    kind = serializers.CharField(help_text="Of what: network, vm or panel.")
    name = serializers.CharField()
    steps = PlannedShown(many=True, source="plan.steps", help_text="Empty: nothing would change.")
    guests = serializers.ListField(
        child=serializers.CharField(), source="plan.guests", help_text="Whom it touches."
    )
    refused = serializers.DictField(
        child=serializers.CharField(), source="plan.refused", help_text="What is left out, and why."
    )
    confirm = serializers.CharField(
        help_text="What running VMs would lose, which has to be confirmed; usually empty."
    )
    problem = serializers.CharField(help_text="Why the host would not do it; usually empty.")
    remedy = serializers.CharField()


def previewed(handler: Handler) -> Handler:
    """Let this method of a view be asked with `dry_run`. Outermost: no key is used up by it."""

    @wraps(handler)
    def answered(self: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        wish = request.query_params.get(PARAMETER, "false")
        if wish not in {"true", "false"}:
            raise Invalid("Use true or false.", field=PARAMETER)
        if wish == "false":
            return handler(self, request, *args, **kwargs)
        plans = preview(lambda: handler(self, request, *args, **kwargs))
        return Response({"dry_run": True, "plans": PlanShown(plans, many=True).data})

    return extend_schema(extensions={PREVIEWS: True})(answered)
