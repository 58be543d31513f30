"""REST: what guests of a network hold by DHCP."""

from __future__ import annotations

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.fields import Shown
from kvmweb.api.views import Resource
from networks.models import Lease


class LeaseShown(Shown):
    reservation = serializers.UUIDField(source="reservation.uuid")
    name = serializers.CharField(source="reservation.name")
    mac = serializers.CharField(source="reservation.mac")
    address = serializers.CharField(help_text="What the guest holds.")
    hostname = serializers.CharField(help_text="What DHCP calls the guest; may be empty.")
    expires_at = serializers.DateTimeField()
    seen_at = serializers.DateTimeField(help_text="When its host told of it.")


class LeaseRoutes(Resource):
    """The leases of networks."""

    @extend_schema(responses=LeaseShown(many=True), filters=False)
    @action(detail=True, methods=["get"], pagination_class=None)
    def leases(self, request: Request, uuid: UUID) -> Response:
        """What guests of the network hold by DHCP, as its host saw it last."""
        network = self.displayed(uuid)
        rows = Lease.objects.visible_to(request.user).filter(reservation__network=network)
        return Response(LeaseShown(rows.select_related("reservation"), many=True).data)
