"""REST: forwards."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django_filters import rest_framework as filters
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.fields import Body, Filters, PortField
from kvmweb.api.once import once
from kvmweb.api.schema import starts, takes
from kvmweb.api.views import Resource, actor_of
from kvmweb.core.errors import Invalid, KvmwebError
from networks import actions
from networks.api.parts import PartShown
from networks.models import (
    Forward,
    ForwardQuerySet,
    Reservation,
)
from networks.ports import warning_for


class ForwardShown(PartShown):
    reservation = serializers.UUIDField(source="reservation.uuid")
    protocol = serializers.ChoiceField(Forward.Protocol.choices)
    public_address = serializers.UUIDField(source="public_address.uuid")
    public_port = serializers.IntegerField()
    public_endpoint = serializers.CharField(help_text="Address and port to connect to.")
    address = serializers.CharField(source="reservation.address", help_text="Where it leads.")
    target_port = serializers.IntegerField()
    note = serializers.CharField()
    warnings = serializers.SerializerMethodField(help_text="Cautions about the public port.")

    def get_warnings(self, forward: Any) -> list[str]:
        warning = warning_for(forward.public_address, forward.public_port)
        return [warning] if warning else []


class NewForward(Body):
    vm = serializers.UUIDField(default=None, allow_null=True, help_text="This or `reservation`.")
    reservation = serializers.UUIDField(default=None, allow_null=True)
    protocol = serializers.ChoiceField(Forward.Protocol.choices, default=Forward.Protocol.TCP)
    public_port = PortField(
        default=None, allow_null=True, help_text="A free one is picked when absent."
    )
    target_port = PortField()
    public_address = serializers.UUIDField(
        default=None, allow_null=True, help_text="The host's default one when absent."
    )
    note = serializers.CharField(default="", allow_blank=True, max_length=200)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if (attrs["vm"] is None) == (attrs["reservation"] is None):
            raise Invalid("Say either `vm` or `reservation`.", field="vm")
        return attrs


class ForwardChange(Body):
    target_port = PortField(
        required=False,
    )
    note = serializers.CharField(required=False, allow_blank=True, max_length=200)


class ForwardFilter(Filters):
    project = filters.UUIDFilter("network__project__uuid")
    network = filters.UUIDFilter("network__uuid")
    reservation = filters.UUIDFilter("reservation__uuid")
    vm = filters.UUIDFilter("reservation__nic__vm__uuid")
    protocol = filters.ChoiceFilter(choices=Forward.Protocol.choices)
    public_port = filters.NumberFilter("public_port")
    search = filters.CharFilter("reservation__name", "icontains", help_text="Part of its name.")


class Forwards(Resource):
    """Public ports that lead to a reservation."""

    model = Forward
    serializer_class = ForwardShown
    filterset_class = ForwardFilter

    def shown(self, rows: ForwardQuerySet) -> ForwardQuerySet:
        return (
            rows.for_display()
            .select_related("reservation__nic__vm")
            .prefetch_related("public_address__host")
        )

    @takes(NewForward, ForwardShown)
    @once
    def create(self, request: Request) -> Response:
        """Open a public port to a VM or a reservation."""
        wanted = self.body(NewForward)
        vm = wanted.pop("vm")
        if vm is not None:
            wanted["reservation"] = self._reservation_of(vm)
        try:
            return self.accepted(actions.add_forward(actor_of(request), **wanted))
        except KvmwebError as error:
            if vm is not None and error.field == "reservation":
                error.field = "vm"
            raise

    def _reservation_of(self, vm: UUID) -> UUID:
        """The first address of a VM."""
        visible = Reservation.objects.visible_to(self.request.user).filter(nic__vm__uuid=vm)
        first = visible.order_by("nic__pk").first()
        if first is None:
            raise Invalid("There is no such VM.", field="vm", code="no_such_vm")
        return first.uuid

    @takes(ForwardChange, ForwardShown)
    def partial_update(self, request: Request, uuid: UUID) -> Response:
        """Lead a forward to another port, or change its note."""
        change = self.change(ForwardChange)
        return self.accepted(actions.change_forward(actor_of(request), uuid, **change))

    @starts(ForwardShown)
    def destroy(self, request: Request, uuid: UUID) -> Response:
        """Close a public port; its open connections end."""
        return self.accepted(actions.delete_forward(actor_of(request), uuid))
