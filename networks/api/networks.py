"""REST: networks."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django_filters import rest_framework as filters
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.dry_run import previewed
from kvmweb.api.fields import Body, Filters, Nothing, Shown, StateField
from kvmweb.api.metrics import metrics_answer, shows_metrics
from kvmweb.api.once import once
from kvmweb.api.schema import starts, takes
from kvmweb.api.views import actor_of, user_of
from kvmweb.core.access import get_for
from kvmweb.jobs.api import JobWithSteps, started
from networks import actions
from networks.api.firewall import AppliedRuleSets
from networks.api.flows import ended, ends_flows, listing, lists_flows
from networks.api.ipv6 import Ipv6Body, Ipv6Shown
from networks.api.leases import LeaseRoutes
from networks.api.refused import lists_refused, refused_listing
from networks.api.services import ServiceRoutes
from networks.api.usage import NetworkUsageShown
from networks.carried import thing_of
from networks.flows import of_network
from networks.models import EgressRule, Ipv6, Network, NetworkQuerySet


class EgressRuleShown(Shown):
    cidr = serializers.CharField()
    protocol = serializers.ChoiceField(EgressRule.Protocol.choices)
    ports = serializers.CharField(help_text="Such as 443 or 80-90; empty for all.")


class NetworkShown(Ipv6Shown):
    id = serializers.UUIDField(source="uuid")
    name = serializers.CharField()
    project = serializers.UUIDField(source="project.uuid")
    host = serializers.UUIDField(source="host.uuid")
    mode = serializers.ChoiceField(Network.Mode.choices)
    ipv4_subnet = serializers.CharField(
        help_text="CIDR, such as 10.60.0.0/24; empty of a bridged network."
    )
    own_router = serializers.BooleanField(
        help_text="Other networks of its host may have the same addresses."
    )
    transit_subnet = serializers.CharField(
        help_text="With a router of its own: the subnet by which its host knows it."
    )
    gateway = serializers.SerializerMethodField(
        help_text="The network's own address, first of the subnet; empty of a bridged network."
    )
    attachment = serializers.UUIDField(
        source="attachment.uuid",
        allow_null=True,
        help_text="What the guests of a bridged network are on.",
    )
    guarded = serializers.BooleanField(
        help_text="Whether guests of a bridged network are closed but for what rules open."
    )
    source_address = serializers.CharField(
        source="source_address.address",
        allow_null=True,
        help_text="The public address guests are seen with outside; the first one of several, null "
        "when it is the host's own or the mode is not nat.",
    )
    source_addresses = serializers.ListField(
        source="sources",
        child=serializers.CharField(),
        help_text="All of them; with several, every guest has one of them, always the same.",
    )
    public_addresses = serializers.SerializerMethodField(
        help_text="Those of its host, on any of which its forwards and host names may listen."
    )
    mtu = serializers.IntegerField()
    guests_apart = serializers.BooleanField(help_text="Guests do not reach each other inside.")
    logs_refused = serializers.BooleanField(
        help_text="Whether what the firewall refuses is noted, to be read at `refused/`."
    )
    egress = serializers.ChoiceField(Network.Egress.choices)
    egress_rules = EgressRuleShown(many=True, help_text="Where guests may go, if that is listed.")
    state = StateField()
    job = serializers.UUIDField(source="job.uuid", allow_null=True, help_text="The newest job.")
    usage = NetworkUsageShown(source="*", help_text="What was routed, by its host.")
    vm_count = serializers.IntegerField()
    forward_count = serializers.IntegerField()
    created_at = serializers.DateTimeField()

    def get_public_addresses(self, network: Network) -> list[str]:
        return [each.address for each in network.host.public_addresses.all()]

    def get_gateway(self, network: Any) -> str:
        return str(network.gateway) if network.ipv4_subnet else ""


class EgressRuleBody(Body):
    cidr = serializers.CharField(help_text="An address or a subnet outside, such as 0.0.0.0/0.")
    protocol = serializers.ChoiceField(EgressRule.Protocol.choices, default=EgressRule.Protocol.ANY)
    ports = serializers.CharField(
        default="", allow_blank=True, help_text="A port or a range, such as 80-90; empty for all."
    )


class NewNetwork(Body):
    name = serializers.CharField(help_text="A host name label: a-z, 0-9 and -.")
    mode = serializers.ChoiceField(Network.Mode.choices, default=Network.Mode.NAT)
    ipv4_subnet = serializers.CharField(
        default="",
        allow_blank=True,
        help_text="Private CIDR, or for a routed network part of what is routed to the host; a "
        "free private one is picked when absent.",
    )
    own_router = serializers.BooleanField(
        default=False,
        help_text="The subnet may be one that other networks of the host have too. Not with mode "
        "routed, IPv6 or peers. It stays as it was chosen.",
    )
    mtu = serializers.IntegerField(default=1500, help_text="Bytes of a packet at most.")
    source_addresses = serializers.ListField(
        child=serializers.IPAddressField(protocol="ipv4"),
        default=None,
        allow_null=True,
        help_text="Public addresses of the host; its default one when absent.",
    )
    guests_apart = serializers.BooleanField(default=False)
    logs_refused = serializers.BooleanField(
        default=False, help_text="Note what the firewall refuses."
    )
    ipv6 = serializers.ChoiceField(Ipv6.choices, default=Ipv6.OFF)
    ipv6_subnet = serializers.CharField(
        default="", allow_blank=True, help_text="A /64; a free one is picked when absent."
    )
    attachment = serializers.UUIDField(
        default=None, allow_null=True, help_text="Of a bridged network, and of no other."
    )
    guarded = serializers.BooleanField(
        default=None,
        allow_null=True,
        help_text="Close guests of a bridged network but for what rules open; yes on a bridge, "
        "and by macvtap it cannot be.",
    )
    project = serializers.UUIDField(default=None, allow_null=True)
    host = serializers.UUIDField(default=None, allow_null=True)


class NetworkChange(Body):
    name = serializers.CharField()
    mode = serializers.ChoiceField(Network.Mode.choices)
    mtu = serializers.IntegerField()
    source_addresses = serializers.ListField(
        child=serializers.IPAddressField(protocol="ipv4"),
        help_text="None is the host's own address; several are a pool.",
    )
    guests_apart = serializers.BooleanField()
    logs_refused = serializers.BooleanField(help_text="Note what the firewall refuses.")
    guarded = serializers.BooleanField(help_text="Of a bridged network.")
    egress = serializers.ChoiceField(Network.Egress.choices)
    egress_rules = EgressRuleBody(many=True, help_text="All of them; sending them lists.")
    confirm = serializers.BooleanField(
        help_text="Go on though running VMs lose what `confirmation_needed` said."
    )


class NetworkFilter(Filters):
    project = filters.UUIDFilter("project__uuid")
    host = filters.UUIDFilter("host__uuid")
    mode = filters.ChoiceFilter(choices=Network.Mode.choices)
    search = filters.CharFilter("name", "icontains", help_text="Part of the name.")


class Networks(ServiceRoutes, LeaseRoutes):
    """Private networks, each on one host."""

    model = Network
    serializer_class = NetworkShown
    filterset_class = NetworkFilter

    def shown(self, rows: NetworkQuerySet) -> NetworkQuerySet:
        return rows.for_display().prefetch_related("host__public_addresses")

    @previewed
    @takes(NewNetwork, NetworkShown)
    @once
    def create(self, request: Request) -> Response:
        """Create a network; its job builds it."""
        return self.accepted(actions.create_network(actor_of(request), **self.body(NewNetwork)))

    @previewed
    @takes(NetworkChange, NetworkShown)
    def partial_update(self, request: Request, uuid: UUID) -> Response:
        """Change a network; only what differs touches its guests."""
        change = self.change(NetworkChange)
        return self.accepted(actions.change_network(actor_of(request), uuid, **change))

    @previewed
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

    @previewed
    @takes(Ipv6Body, NetworkShown)
    @action(detail=True, methods=["post"])
    @once
    def ipv6(self, request: Request, uuid: UUID) -> Response:
        """Give a network IPv6, change it or take it away."""
        return self.accepted(actions.set_ipv6(actor_of(request), uuid, **self.body(Ipv6Body)))

    @previewed
    @takes(AppliedRuleSets, NetworkShown)
    @action(detail=True, methods=["post"])
    @once
    def firewall(self, request: Request, uuid: UUID) -> Response:
        """Open all guests of a routed network to these rule sets, beside each guest's own."""
        wanted = self.body(AppliedRuleSets)
        return self.accepted(actions.apply_to_network(actor_of(request), uuid, **wanted))

    @lists_flows
    @action(detail=True)
    def flows(self, request: Request, uuid: UUID) -> Response:
        """The connections of a network's guests, as they are now."""
        return listing(request, of_network(self.displayed(uuid)))

    @lists_refused
    @action(detail=True)
    def refused(self, request: Request, uuid: UUID) -> Response:
        """What the firewall refused to and from a network's guests in the last ten minutes."""
        return refused_listing(request, of_network(self.displayed(uuid)))

    @shows_metrics
    @action(detail=True)
    def metrics(self, request: Request, uuid: UUID) -> Response:
        """What a network carried over time."""
        network = self.displayed(uuid)
        return metrics_answer(request, thing_of(network, network.host))

    @ends_flows
    @flows.mapping.delete
    def end_flows(self, request: Request, uuid: UUID) -> Response:
        """End the connections of a network's guests, or one of them."""
        get_for(user_of(request), Network, uuid, write=True)
        return ended(request, of_network(self.displayed(uuid)))
