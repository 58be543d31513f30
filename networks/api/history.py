"""REST: who had a public address and port, for operators."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet
from django_filters import rest_framework as filters
from rest_framework import serializers

from kvmweb.api.fields import Filters, Shown
from kvmweb.api.views import Resource
from networks.models import Holding


class HoldingShown(Shown):
    id = serializers.UUIDField(source="uuid")
    way = serializers.ChoiceField(
        Holding.Way.choices, help_text="in: it led to a guest; out: guests went out by it."
    )
    public_address = serializers.CharField()
    protocol = serializers.CharField(help_text="tcp, udp or any.")
    first_port = serializers.IntegerField()
    last_port = serializers.IntegerField()
    served_name = serializers.CharField(help_text="The host name on that port, if it was one.")
    host = serializers.CharField(source="host_name")
    project = serializers.UUIDField(source="project_uuid")
    project_name = serializers.CharField()
    network = serializers.UUIDField(source="network_uuid")
    network_name = serializers.CharField()
    guest_name = serializers.CharField(help_text="The VM's name, or the reservation's.")
    guest_address = serializers.CharField()
    guest_mac = serializers.CharField()
    since = serializers.DateTimeField()
    until = serializers.DateTimeField(allow_null=True, help_text="Null while it is held.")


class HoldingFilter(Filters):
    """All of them narrow; a port or protocol finds what holds all ports or protocols too."""

    address = filters.CharFilter("public_address", help_text="Exactly this public address.")
    port = filters.NumberFilter(method="filter_port", min_value=0, max_value=65535)
    protocol = filters.ChoiceFilter(
        method="filter_protocol", choices=[("tcp", "TCP"), ("udp", "UDP")]
    )
    name = filters.CharFilter("served_name", "iexact", help_text="Exactly this host name.")
    at = filters.IsoDateTimeFilter(method="filter_at", help_text="Held at this moment.")
    way = filters.ChoiceFilter(choices=Holding.Way.choices)
    project = filters.UUIDFilter("project_uuid")
    network = filters.UUIDFilter("network_uuid")

    def filter_port(self, rows: QuerySet[Holding], _name: str, port: Any) -> QuerySet[Holding]:
        return rows.filter(first_port__lte=int(port), last_port__gte=int(port))

    def filter_protocol(
        self, rows: QuerySet[Holding], _name: str, protocol: str
    ) -> QuerySet[Holding]:
        return rows.filter(protocol__in=[protocol, "any"])

    def filter_at(self, rows: QuerySet[Holding], _name: str, at: datetime) -> QuerySet[Holding]:
        return rows.filter(Q(until__isnull=True) | Q(until__gte=at), since__lte=at)


class Holdings(Resource):
    """Who had a public address and port, and when. Others than operators see nothing."""

    model = Holding
    serializer_class = HoldingShown
    filterset_class = HoldingFilter
