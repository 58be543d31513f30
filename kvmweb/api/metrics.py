"""REST: what was measured over a stretch of time."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone
from django.utils.http import parse_etags
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.fields import Body, Shown
from kvmweb.metrics.window import MOST_POINTS, Thing, Window, read, window
from kvmweb.metrics.writing import rings

_HOUR = 3600
_EXACTNESS = 6


class FigureShown(Shown):
    name = serializers.CharField()
    unit = serializers.CharField(help_text="cores, bytes, bytes/s, /s, or empty for a number.")


@extend_schema_field(
    {
        "type": "object",
        "additionalProperties": {"type": "array", "items": {"type": ["number", "null"]}},
        "description": "By name; one for each step, null where there is none.",
    }
)
class _Columns(serializers.Field[Any, Any, Any, Any]):
    def to_representation(self, value: Any) -> Any:
        return value


class MetricsShown(Shown):
    start = serializers.DateTimeField(help_text="When the first step begins.")
    step = serializers.IntegerField(help_text="Seconds.")
    fields_shown = FigureShown(many=True)
    values = _Columns()

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()
        return {{"start": "from", "fields_shown": "fields"}.get(k, k): v for k, v in fields.items()}


class Wanted(Body):
    to = serializers.DateTimeField(default=None)
    step = serializers.IntegerField(default=None, min_value=1, max_value=90 * 86_400)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return super().get_fields() | {"from": serializers.DateTimeField(default=None)}


shows_metrics = extend_schema(
    parameters=[
        OpenApiParameter("from", str, description="A time; an hour before the end by default."),
        OpenApiParameter("to", str, description="A time; now by default."),
        OpenApiParameter(
            "step",
            int,
            description="Seconds of each step, a multiple of what is kept; chosen by default. There"
            f" are at most {MOST_POINTS} steps.",
        ),
    ],
    responses={200: MetricsShown},
)


def metrics_answer(request: Request, thing: Thing) -> Response:
    """Of the time that the query names; 304 where the program has just that already."""
    asked = Wanted(data=request.query_params.dict())
    asked.is_valid(raise_exception=True)
    begin, end, step = (asked.validated_data[name] for name in ("from", "to", "step"))
    now = timezone.now().timestamp()
    last = end.timestamp() if end else now
    first = begin.timestamp() if begin else last - _HOUR
    wanted = window(thing.series, begin=first, end=last, now=now, step=step)
    body = _body(thing, wanted, now)
    digest = hashlib.sha256(json.dumps(body).encode()).hexdigest()
    tag = f'"{digest[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if tag in parse_etags(request.headers.get("If-None-Match", "")):
        return Response(status=304, headers=headers)
    return Response(body, headers=headers)


def _body(thing: Thing, wanted: Window, now: float) -> dict[str, Any]:
    steps = read(rings(), thing, wanted, now=now)
    columns = zip(*steps, strict=True)
    start = datetime.fromtimestamp(wanted.start, tz=UTC)
    return {
        "from": start.isoformat().replace("+00:00", "Z"),
        "step": wanted.step,
        "fields": [{"name": each.name, "unit": each.unit} for each in thing.series.fields],
        "values": {
            name: [_exact(value) for value in column]
            for name, column in zip(thing.series.names, columns, strict=True)
        },
    }


def _exact(value: float | None) -> float | None:
    """As exact as it was kept, and no longer to read."""
    return None if value is None else float(f"{value:.{_EXACTNESS}g}")
