"""REST: peerings."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Q, QuerySet
from django_filters import rest_framework as filters
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.dry_run import previewed
from kvmweb.api.fields import Body, Filters, Nothing, Shown
from kvmweb.api.once import once
from kvmweb.api.schema import starts, takes
from kvmweb.api.views import Resource, actor_of, user_of
from networks import actions
from networks.api.why import explains, shown
from networks.models import Peering
from networks.why import why_peering


class PeeringShown(Shown):
    id = serializers.UUIDField(source="uuid")
    project = serializers.UUIDField(source="network.project.uuid")
    network = serializers.UUIDField(source="network.uuid", help_text="The one that asked.")
    peer = serializers.UUIDField(source="peer.uuid", help_text="The one that was asked.")
    accepted = serializers.BooleanField(help_text="Their guests reach each other only then.")
    present = serializers.BooleanField(help_text="False while the host still has to part them.")
    job = serializers.UUIDField(source="job.uuid", allow_null=True, help_text="The newest job.")
    created_at = serializers.DateTimeField()


class NewPeering(Body):
    network = serializers.UUIDField(help_text="The network that asks.")
    peer = serializers.UUIDField(help_text="Another one of its project, on the same host.")


class PeeringFilter(Filters):
    project = filters.UUIDFilter("network__project__uuid")
    network = filters.UUIDFilter(method="at_either_end", help_text="At either end.")
    accepted = filters.BooleanFilter("accepted")

    def at_either_end(self, rows: QuerySet[Peering], _name: str, uuid: UUID) -> QuerySet[Peering]:
        return rows.filter(Q(network__uuid=uuid) | Q(peer__uuid=uuid))


class Peerings(Resource):
    """Networks of one project whose guests reach each other."""

    model = Peering
    serializer_class = PeeringShown
    filterset_class = PeeringFilter

    @previewed
    @takes(NewPeering, PeeringShown)
    @once
    def create(self, request: Request) -> Response:
        """Have a network ask another one; their guests reach each other once it accepts."""
        wanted = self.body(NewPeering)
        return self.accepted(actions.ask_peering(actor_of(request), **wanted))

    @explains
    @action(detail=True)
    def explain(self, request: Request, uuid: UUID) -> Response:
        """Why the two networks do (not) reach each other: asked of the host now."""
        return shown(why_peering(user_of(request), self.displayed(uuid)))

    @previewed
    @starts(PeeringShown)
    @action(detail=True, methods=["post"])
    @once
    def accept(self, request: Request, uuid: UUID) -> Response:
        """Agree for the network that was asked."""
        self.body(Nothing)
        return self.accepted(actions.accept_peering(actor_of(request), uuid))

    @previewed
    @starts(PeeringShown)
    def destroy(self, request: Request, uuid: UUID) -> Response:
        """Part two networks; connections between their guests end."""
        return self.accepted(actions.end_peering(actor_of(request), uuid))
