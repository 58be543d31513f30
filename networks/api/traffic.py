"""REST: traffic of each month."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.fields import Filters, Shown
from kvmweb.api.views import Resource
from kvmweb.core.errors import Invalid
from networks.models import Traffic
from networks.traffic import month_named, totals


class _Carried(Shown):
    month = serializers.DateField(format="%Y-%m", help_text="By UTC.")
    bytes_in = serializers.IntegerField(help_text="To guests.")
    bytes_out = serializers.IntegerField(help_text="From guests.")
    packets_in = serializers.IntegerField()
    packets_out = serializers.IntegerField()


class TrafficShown(_Carried):
    id = serializers.UUIDField(source="uuid")
    project = serializers.UUIDField(source="project.uuid")
    network = serializers.UUIDField(help_text="It may be gone.")
    network_name = serializers.CharField(help_text="As it was called last.")


class ProjectTrafficShown(_Carried):
    project = serializers.UUIDField(source="project__uuid")
    project_name = serializers.CharField(source="project__name")


class TrafficFilter(Filters):
    month = filters.CharFilter(method="in_month", help_text="Such as 2026-11.")
    project = filters.UUIDFilter("project__uuid")
    network = filters.UUIDFilter("network")

    def in_month(self, rows: QuerySet[Traffic], _name: str, value: str) -> QuerySet[Traffic]:
        month = month_named(value)
        if month is None:
            raise Invalid("Write a month as 2026-11.", field="month")
        return rows.filter(month=month)


class TrafficOfMonths(Resource):
    """What each network carried in each month, between its guests and elsewhere. Newest first."""

    model = Traffic
    serializer_class = TrafficShown
    filterset_class = TrafficFilter

    def shown(self, rows: Any) -> QuerySet[Traffic]:
        return rows.select_related("project")  # type: ignore[no-any-return]

    @extend_schema(responses={200: ProjectTrafficShown(many=True)})
    @action(detail=False)
    def totals(self, request: Request) -> Response:  # noqa: ARG002
        """The same summed up by month and project."""
        summed = totals(self.filter_queryset(Traffic.objects.visible_to(self.request.user)))
        page = self.paginate_queryset(summed)
        return self.get_paginated_response(ProjectTrafficShown(page, many=True).data)
