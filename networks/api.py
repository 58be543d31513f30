"""REST: networks, reservations and forwards."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django_filters import rest_framework as filters
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.fields import Body, Filters, Nothing, PortField, Shown, StateField
from kvmweb.api.once import once
from kvmweb.api.schema import starts, takes
from kvmweb.api.views import Resource, actor_of
from kvmweb.core.errors import Invalid, KvmwebError
from kvmweb.jobs.api import JobWithSteps, started
from networks import actions
from networks.models import (
    Forward,
    ForwardQuerySet,
    Network,
    Reservation,
    ReservationQuerySet,
)
from networks.ports import warning_for


class NetworkShown(Shown):
    id = serializers.UUIDField(source="uuid")
    name = serializers.CharField()
    project = serializers.UUIDField(source="project.uuid")
    host = serializers.UUIDField(source="host.uuid")
    mode = serializers.ChoiceField(Network.Mode.choices)
    ipv4_subnet = serializers.CharField(help_text="CIDR, such as 10.60.0.0/24.")
    gateway = serializers.CharField(help_text="The network's own address, first of the subnet.")
    source_address = serializers.CharField(
        source="source_address.address",
        allow_null=True,
        help_text="The public address guests are seen with outside; null when not NAT.",
    )
    state = StateField()
    job = serializers.UUIDField(source="job.uuid", allow_null=True, help_text="The newest job.")
    vm_count = serializers.IntegerField()
    forward_count = serializers.IntegerField()
    created_at = serializers.DateTimeField()


class NewNetwork(Body):
    name = serializers.CharField(help_text="A host name label: a-z, 0-9 and -.")
    mode = serializers.ChoiceField(Network.Mode.choices, default=Network.Mode.NAT)
    ipv4_subnet = serializers.CharField(
        default="", allow_blank=True, help_text="Private CIDR; a free one is picked when absent."
    )
    project = serializers.UUIDField(default=None, allow_null=True)
    host = serializers.UUIDField(default=None, allow_null=True)


class NetworkChange(Body):
    name = serializers.CharField()


class NetworkFilter(Filters):
    project = filters.UUIDFilter("project__uuid")
    host = filters.UUIDFilter("host__uuid")
    mode = filters.ChoiceFilter(choices=Network.Mode.choices)
    search = filters.CharFilter("name", "icontains", help_text="Part of the name.")


class Networks(Resource):
    """Private networks, each on one host."""

    model = Network
    serializer_class = NetworkShown
    filterset_class = NetworkFilter

    @takes(NewNetwork, NetworkShown)
    @once
    def create(self, request: Request) -> Response:
        """Create a network; its job builds it."""
        return self.accepted(actions.create_network(actor_of(request), **self.body(NewNetwork)))

    @takes(NetworkChange, NetworkShown)
    def partial_update(self, request: Request, uuid: UUID) -> Response:
        """Rename a network."""
        change = self.change(NetworkChange)
        return self.accepted(actions.rename_network(actor_of(request), uuid, **change))

    @starts(NetworkShown)
    def destroy(self, request: Request, uuid: UUID) -> Response:
        """Delete a network that no VM uses, with its reservations and forwards."""
        return self.accepted(actions.delete_network(actor_of(request), uuid))

    @starts(JobWithSteps)
    @action(detail=True, methods=["post"])
    @once
    def check(self, request: Request, uuid: UUID) -> Response:
        """Have the host say what a repair would do to the network; nothing is changed."""
        self.body(Nothing)
        return started(self, actions.check_network(actor_of(request), uuid))

    @starts(NetworkShown)
    @action(detail=True, methods=["post"])
    @once
    def repair(self, request: Request, uuid: UUID) -> Response:
        """Send the network to its host again; whatever differs there is put right."""
        self.body(Nothing)
        actions.repair_network(actor_of(request), uuid)
        return self.accepted(self.displayed(uuid))


class PartShown(Shown):
    """What all parts of a network show."""

    id = serializers.UUIDField(source="uuid")
    project = serializers.UUIDField(source="network.project.uuid")
    network = serializers.UUIDField(source="network.uuid")
    vm = serializers.SerializerMethodField(help_text="The VM it belongs to, if to one.")
    state = StateField()
    problem = serializers.CharField(help_text="Why the host could not apply it; usually empty.")
    job = serializers.UUIDField(
        source="job.uuid", allow_null=True, help_text="The newest job of the network."
    )
    created_at = serializers.DateTimeField()

    def get_vm(self, part: Any) -> UUID | None:
        reservation = part if isinstance(part, Reservation) else part.reservation
        nic = getattr(reservation, "nic", None)
        return nic.vm.uuid if nic else None


class ReservationShown(PartShown):
    name = serializers.CharField()
    mac = serializers.CharField()
    address = serializers.CharField()
    public_endpoints = serializers.SerializerMethodField(help_text="Where forwards lead here.")

    def get_public_endpoints(self, reservation: Any) -> list[str]:
        return [forward.public_endpoint for forward in reservation.open_forwards]


class NewReservation(Body):
    network = serializers.UUIDField()
    name = serializers.CharField(help_text="A host name label, once in the network.")
    address = serializers.CharField(default="", allow_blank=True, help_text="Picked when absent.")
    mac = serializers.CharField(default="", allow_blank=True, help_text="Picked when absent.")


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

    @takes(NewReservation, ReservationShown)
    @once
    def create(self, request: Request) -> Response:
        """Reserve an address."""
        wanted = self.body(NewReservation)
        return self.accepted(actions.add_reservation(actor_of(request), **wanted))

    @starts(ReservationShown)
    def destroy(self, request: Request, uuid: UUID) -> Response:
        """Give up an address that no VM uses, and the forwards that lead to it."""
        return self.accepted(actions.delete_reservation(actor_of(request), uuid))


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
