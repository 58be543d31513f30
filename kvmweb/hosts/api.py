"""REST: hosts and public addresses, for operators to read."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.fields import Filters, Shown, StateField
from kvmweb.api.metrics import metrics_answer, shows_metrics
from kvmweb.api.views import Resource
from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.metrics.series import HOST
from kvmweb.metrics.window import Thing


class PublicAddressShown(Shown):
    id = serializers.UUIDField(source="uuid")
    host = serializers.UUIDField(source="host.uuid")
    address = serializers.IPAddressField(help_text="IPv4 or IPv6.")
    is_default = serializers.BooleanField()
    first_port = serializers.IntegerField(help_text="Free ports are picked from here …")
    last_port = serializers.IntegerField(help_text="… to here.")


class FindingShown(Shown):
    id = serializers.CharField()
    level = serializers.ChoiceField(["bad", "warn", "note"])
    found = serializers.CharField()
    breaks = serializers.CharField()
    remedy = serializers.CharField()
    does = serializers.CharField(help_text="What the host runs if asked to; empty: it cannot.")


class HostShown(Shown):
    id = serializers.UUIDField(source="uuid")
    name = serializers.CharField()
    state = StateField()
    maintenance = serializers.BooleanField()
    repairs = serializers.BooleanField(help_text="Puts right what others change of networks.")
    accelerator = serializers.ChoiceField(Host.Accelerator.choices)
    reserved_ports = serializers.ListField(child=serializers.IntegerField())
    routed_prefixes6 = serializers.ListField(
        child=serializers.CharField(), help_text="IPv6 prefixes that are routed to it."
    )
    local_prefix6 = serializers.CharField(help_text="Private IPv6 subnets are taken from here.")
    transit_block = serializers.CharField(
        help_text="By subnets of this it knows networks that have a router of their own."
    )
    public_addresses = PublicAddressShown(many=True)
    findings = FindingShown(many=True, help_text="What is in the way of networks; worst first.")
    facts = serializers.DictField(help_text="What its monitor saw last.")
    facts_at = serializers.DateTimeField(allow_null=True)
    monitor_seen_at = serializers.DateTimeField(allow_null=True)
    net_seen_at = serializers.DateTimeField(allow_null=True)
    vm_seen_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class HostFilter(Filters):
    maintenance = filters.BooleanFilter("maintenance")
    search = filters.CharFilter("name", "icontains", help_text="Part of the name.")


class Hosts(Resource):
    """KVM hosts. Others than operators see none."""

    model = Host
    serializer_class = HostShown
    filterset_class = HostFilter

    def shown(self, rows: QuerySet[Host]) -> QuerySet[Host]:
        return rows.prefetch_related("public_addresses__host")

    @shows_metrics
    @action(detail=True)
    def metrics(self, request: Request, uuid: UUID) -> Response:
        """How busy a host was."""
        found = self.displayed(uuid).uuid
        return metrics_answer(request, Thing(HOST, found, found))


class PublicAddressFilter(Filters):
    host = filters.UUIDFilter("host__uuid")
    search = filters.CharFilter("address", "icontains", help_text="Part of the address.")


class PublicAddresses(Resource):
    """Addresses of hosts that the outside can reach. Others than operators see none."""

    model = PublicAddress
    serializer_class = PublicAddressShown
    filterset_class = PublicAddressFilter

    def shown(self, rows: QuerySet[PublicAddress]) -> QuerySet[PublicAddress]:
        return rows.select_related("host")
