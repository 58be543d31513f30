"""REST: what hosts found changed by others, and whether they put it right."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django_filters import rest_framework as filters
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.fields import Body, Filters, Shown, StateField
from kvmweb.api.schema import takes
from kvmweb.api.views import Resource, actor_of
from kvmweb.hosts import api as hosts
from networks import actions
from networks.models import Drift, DriftQuerySet


class DriftShown(Shown):
    id = serializers.UUIDField(source="uuid")
    host = serializers.UUIDField(source="host.uuid")
    network = serializers.SerializerMethodField(help_text="Null once it is deleted.")
    network_name = serializers.CharField()
    state = StateField()
    at = serializers.DateTimeField()
    missing = serializers.ListField(
        child=serializers.CharField(), help_text="What had to be done to put it right."
    )
    message = serializers.CharField(help_text="Why it could not be put right; usually empty.")
    only_told = serializers.BooleanField(help_text="Nobody was to put it right.")
    ended_at = serializers.DateTimeField(allow_null=True, help_text="When it was put right.")

    def get_network(self, drift: Any) -> UUID | None:
        return drift.network.uuid if drift.network else None


class DriftFilter(Filters):
    host = filters.UUIDFilter("host__uuid")
    network = filters.UUIDFilter("network__uuid")
    open = filters.BooleanFilter("ended_at", "isnull", help_text="Not put right yet.")


class Drifts(Resource):
    """What others changed of networks on their hosts. Newest first."""

    model = Drift
    serializer_class = DriftShown
    filterset_class = DriftFilter

    def shown(self, rows: DriftQuerySet) -> DriftQuerySet:
        return rows.for_display()


class HostChange(Body):
    repairs = serializers.BooleanField(help_text="Put right what others change, or only tell it.")


class Hosts(hosts.Hosts):
    """KVM hosts. Others than operators see none."""

    @takes(HostChange, hosts.HostShown, status=200)
    def partial_update(self, request: Request, uuid: UUID) -> Response:
        """Have a host put right what others change of networks, or only tell it."""
        change = self.change(HostChange)
        actions.set_repairs(actor_of(request), uuid, **change)
        return Response(self.get_serializer(self.displayed(uuid)).data)
