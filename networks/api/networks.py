"""REST: networks."""

from __future__ import annotations

from uuid import UUID

from django_filters import rest_framework as filters
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.fields import Body, Filters, Nothing, Shown, StateField
from kvmweb.api.once import once
from kvmweb.api.schema import starts, takes
from kvmweb.api.views import Resource, actor_of
from kvmweb.jobs.api import JobWithSteps, started
from networks import actions
from networks.api.firewall import AppliedRuleSets
from networks.api.usage import NetworkUsageShown
from networks.models import (
    Network,
)


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
    usage = NetworkUsageShown(source="*", help_text="What was routed, by its host.")
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

    @takes(AppliedRuleSets, NetworkShown)
    @action(detail=True, methods=["post"])
    @once
    def firewall(self, request: Request, uuid: UUID) -> Response:
        """Open all guests of a routed network to these rule sets, beside each guest's own."""
        wanted = self.body(AppliedRuleSets)
        return self.accepted(actions.apply_to_network(actor_of(request), uuid, **wanted))
