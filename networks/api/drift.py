"""REST: what hosts found changed by others or in the way, and what is done about it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.fields import Body, Filters, Shown, StateField
from kvmweb.api.once import once
from kvmweb.api.schema import takes
from kvmweb.api.views import Resource, actor_of
from kvmweb.hosts import api as hosts
from networks import actions
from networks.models import Drift, DriftQuerySet, Remedy


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


class FindingChosen(Body):
    finding = serializers.CharField(max_length=500, help_text="The `id` of a finding.")


class RemedyShown(Shown):
    id = serializers.UUIDField(source="uuid")
    host = serializers.UUIDField(source="host.uuid")
    finding = serializers.CharField()
    found = serializers.CharField()
    does = serializers.CharField()
    state = StateField()
    message = serializers.CharField(help_text="Why it did not help; usually empty.")
    asked_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)


class RemedyFilter(Filters):
    host = filters.UUIDFilter("host__uuid")


class Remedies(Resource):
    """What operators had hosts do about findings. Others than operators see none."""

    model = Remedy
    serializer_class = RemedyShown
    filterset_class = RemedyFilter

    def shown(self, rows: QuerySet[Remedy]) -> QuerySet[Remedy]:
        return rows.select_related("host")


class Hosts(hosts.Hosts):
    """KVM hosts. Others than operators see none."""

    @takes(HostChange, hosts.HostShown, status=200)
    def partial_update(self, request: Request, uuid: UUID) -> Response:
        """Have a host put right what others change of networks, or only tell it."""
        change = self.change(HostChange)
        actions.set_repairs(actor_of(request), uuid, **change)
        return Response(self.get_serializer(self.displayed(uuid)).data)

    @takes(FindingChosen, RemedyShown, status=201)
    @action(detail=True, methods=["post"])
    @once
    def remedy(self, request: Request, uuid: UUID) -> Response:
        """Have a host apply the remedy of one of its findings, where `does` says what it runs."""
        made = actions.apply_remedy(actor_of(request), uuid, **self.body(FindingChosen))
        return Response(RemedyShown(made).data, status.HTTP_201_CREATED)
