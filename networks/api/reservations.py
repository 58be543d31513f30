"""REST: reservations."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django_filters import rest_framework as filters
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.dry_run import previewed
from kvmweb.api.fields import Body, Filters
from kvmweb.api.once import once
from kvmweb.api.schema import starts, takes
from kvmweb.api.views import Resource, actor_of, user_of
from networks import actions
from networks.api.firewall import AppliedRuleSets
from networks.api.parts import PartShown
from networks.api.speed import SpeedField
from networks.api.why import TryingGuest, explains_guest, query, shown
from networks.models import (
    Reservation,
    ReservationQuerySet,
)
from networks.why import why_guest


class ReservationShown(PartShown):
    name = serializers.CharField()
    mac = serializers.CharField()
    address = serializers.CharField(
        allow_null=True, help_text="null in a bridged network: its guests have theirs from outside."
    )
    address6 = serializers.CharField(help_text="Follows from the MAC; empty without IPv6.")
    max_down_mbit = serializers.IntegerField(allow_null=True, help_text="null is no limit.")
    max_up_mbit = serializers.IntegerField(allow_null=True, help_text="null is no limit.")
    public_endpoints = serializers.SerializerMethodField(help_text="Where forwards lead here.")

    def get_public_endpoints(self, reservation: Any) -> list[str]:
        if reservation.parked:
            return []
        return [
            forward.public_endpoint for forward in reservation.open_forwards if not forward.paused
        ]


class NewReservation(Body):
    network = serializers.UUIDField()
    name = serializers.CharField(help_text="A host name label, once in the network.")
    address = serializers.CharField(default="", allow_blank=True, help_text="Picked when absent.")
    mac = serializers.CharField(default="", allow_blank=True, help_text="Picked when absent.")


class ReservationChange(Body):
    name = serializers.CharField(required=False, help_text="A host name label.")
    address = serializers.CharField(
        required=False,
        help_text="A running guest takes it when it asks for its lease again.",
    )
    max_down_mbit = SpeedField(required=False)
    max_up_mbit = SpeedField(required=False)


class ReservationFilter(Filters):
    project = filters.UUIDFilter("network__project__uuid")
    network = filters.UUIDFilter("network__uuid")
    vm = filters.UUIDFilter("nic__vm__uuid")
    search = filters.CharFilter("name", "icontains", help_text="Part of the name.")


class Reservations(Resource):
    """A MAC and an address fixed in a network."""

    model = Reservation
    serializer_class = ReservationShown
    filterset_class = ReservationFilter

    def shown(self, rows: ReservationQuerySet) -> ReservationQuerySet:
        return rows.for_display().select_related("nic__vm")

    @previewed
    @takes(NewReservation, ReservationShown)
    @once
    def create(self, request: Request) -> Response:
        """Reserve an address."""
        wanted = self.body(NewReservation)
        return self.accepted(actions.add_reservation(actor_of(request), **wanted))

    @previewed
    @takes(ReservationChange, ReservationShown)
    def partial_update(self, request: Request, uuid: UUID) -> Response:
        """Give a reservation another name, address or speed; its forwards follow."""
        change = self.change(ReservationChange)
        return self.accepted(actions.change_reservation(actor_of(request), uuid, **change))

    @previewed
    @starts(ReservationShown)
    def destroy(self, request: Request, uuid: UUID) -> Response:
        """Give up an address that no VM uses, and the forwards that lead to it."""
        return self.accepted(actions.delete_reservation(actor_of(request), uuid))

    @previewed
    @takes(AppliedRuleSets, ReservationShown)
    @action(detail=True, methods=["post"])
    @once
    def firewall(self, request: Request, uuid: UUID) -> Response:
        """Open one guest to these rule sets, beside what its network opens."""
        wanted = self.body(AppliedRuleSets)
        return self.accepted(actions.apply_to_reservation(actor_of(request), uuid, **wanted))

    @explains_guest
    @action(detail=True)
    def explain(self, request: Request, uuid: UUID) -> Response:
        """Why the guest at this address does (not) reach the outside, or is (not) reached by its
        own address: asked of the host now."""
        wanted = query(request, TryingGuest)
        return shown(why_guest(user_of(request), self.displayed(uuid), **wanted))
