"""REST: what a network serves its guests."""

from __future__ import annotations

from uuid import UUID

from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.dry_run import previewed
from kvmweb.api.fields import Body, Shown
from kvmweb.api.schema import takes
from kvmweb.api.views import Resource, actor_of, job_url
from networks import actions
from networks.api.speed import SpeedField
from networks.models.services import LONGEST_LEASE, SHORTEST_LEASE
from networks.names import MOST_SERVERS


class ServicesShown(Shown):
    domain = serializers.CharField(help_text="Guests are NAME.DOMAIN, inside the network alone.")
    dns_domain = serializers.CharField(help_text="The domain that was chosen; may be empty.")
    dns_servers = serializers.ListField(
        child=serializers.CharField(),
        help_text="Whom the network asks for all other names; none are the host's own.",
    )
    range_first = serializers.CharField(
        allow_null=True, help_text="Addresses are picked from here…"
    )
    range_last = serializers.CharField(
        allow_null=True, help_text="…to here; null is all of the subnet."
    )
    lease_minutes = serializers.IntegerField()
    max_down_mbit = serializers.IntegerField(
        allow_null=True, help_text="Mbit/s to all guests together; null is no limit."
    )
    max_up_mbit = serializers.IntegerField(
        allow_null=True, help_text="Mbit/s from all guests together; null is no limit."
    )


class ServicesChange(Body):
    dns_domain = serializers.CharField(
        required=False, allow_blank=True, help_text="Empty is the network's name and `internal`."
    )
    dns_servers = serializers.ListField(
        child=serializers.CharField(max_length=50),
        required=False,
        max_length=MOST_SERVERS,
        help_text="IP addresses; none are the host's own servers.",
    )
    range_first = serializers.CharField(required=False, allow_blank=True)
    range_last = serializers.CharField(required=False, allow_blank=True)
    lease_minutes = serializers.IntegerField(
        required=False, min_value=SHORTEST_LEASE, max_value=LONGEST_LEASE
    )
    max_down_mbit = SpeedField(required=False)
    max_up_mbit = SpeedField(required=False)


class ServiceRoutes(Resource):
    """The services of networks."""

    @takes(ServicesChange, ServicesShown, status=200)
    @action(detail=True, methods=["get"], serializer_class=ServicesShown)
    def services(self, request: Request, uuid: UUID) -> Response:  # noqa: ARG002
        """How guests resolve names and get addresses."""
        return Response(ServicesShown(self.displayed(uuid)).data)

    @previewed
    @takes(ServicesChange, ServicesShown)
    @services.mapping.patch
    def change_services(self, request: Request, uuid: UUID) -> Response:
        """Change how guests resolve names and get addresses; no guest is cut off."""
        change = self.change(ServicesChange)
        actions.set_services(actor_of(request), uuid, **change)
        shown = self.displayed(uuid)
        headers = {"Location": job_url(self.job_of(shown))}
        return Response(ServicesShown(shown).data, status.HTTP_202_ACCEPTED, headers=headers)
