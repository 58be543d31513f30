"""Operators: networks, what is reserved and forwarded in them, and the ports that are claimed."""

from __future__ import annotations

from typing import Any

from django.contrib import admin

from kvmweb.projects.operators import Button, OperatorAdmin, OperatorInline
from networks.actions import check_network, repair_network
from networks.models import (
    AddressSet,
    Attachment,
    Certificate,
    Drift,
    EgressRule,
    Forward,
    ForwardUsage,
    Holding,
    HostName,
    HostNameUsage,
    Lease,
    Network,
    NetworkUsage,
    PanelName,
    Peering,
    PoolAddress,
    PortClaim,
    Remedy,
    Reservation,
    Rule,
    RuleSet,
    Traffic,
)


class StateColumn:
    @admin.display(description="State")
    def state_label(self, subject: Any) -> str:
        return str(subject.state.label)


@admin.register(Network)
class NetworkAdmin(StateColumn, OperatorAdmin):
    page = "network"
    buttons = (
        Button("check", "Check", lambda actor, network: check_network(actor, network.uuid)),
        Button("repair", "Repair", lambda actor, network: repair_network(actor, network.uuid)),
    )
    list_display = ("name", "project", "host", "ipv4_subnet", "mode", "state_label", "created_at")
    list_select_related = ("project", "host", "job")
    list_filter = ("mode", "host", "present")
    search_fields = ("name", "uuid", "ipv4_subnet", "transit_subnet", "project__name")


@admin.register(Attachment)
class AttachmentAdmin(OperatorAdmin):
    list_display = ("interface", "host", "kind", "created_at")
    list_select_related = ("host",)
    list_filter = ("host", "kind")
    search_fields = ("interface", "host__name", "uuid")


@admin.register(Peering)
class PeeringAdmin(OperatorAdmin):
    list_display = ("network", "peer", "accepted", "present")
    list_select_related = ("network", "peer")
    list_filter = ("accepted", "present")
    search_fields = ("network__name", "peer__name", "uuid")


@admin.register(PoolAddress)
class PoolAddressAdmin(OperatorAdmin):
    list_display = ("network", "public_address")
    list_select_related = ("network", "public_address")
    search_fields = ("network__name", "public_address__address")


@admin.register(EgressRule)
class EgressRuleAdmin(OperatorAdmin):
    list_display = ("network", "cidr", "protocol", "ports")
    list_select_related = ("network",)
    list_filter = ("protocol",)
    search_fields = ("network__name", "cidr")


@admin.register(Reservation)
class ReservationAdmin(StateColumn, OperatorAdmin):
    list_display = ("name", "network", "address", "mac", "state_label")
    list_select_related = ("network__host", "network__job")
    list_filter = ("network__host", "present")
    search_fields = ("name", "uuid", "address", "mac", "network__name")


@admin.register(Forward)
class ForwardAdmin(StateColumn, OperatorAdmin):
    page = "forward"
    list_display = ("public_endpoint", "protocol", "reservation", "target_port", "state_label")
    list_select_related = ("network__host", "network__job", "reservation", "public_address")
    list_filter = ("protocol", "public_address", "present")
    search_fields = ("uuid", "=public_port", "=target_port", "note", "reservation__name")


@admin.register(Lease)
class LeaseAdmin(OperatorAdmin):
    list_display = ("reservation", "address", "hostname", "expires_at", "seen_at")
    list_select_related = ("reservation__network",)
    list_filter = ("reservation__network__host",)
    search_fields = ("address", "hostname", "reservation__name", "reservation__mac")


@admin.register(Drift)
class DriftAdmin(StateColumn, OperatorAdmin):
    list_display = ("at", "host", "network_name", "state_label", "only_told", "ended_at")
    list_select_related = ("host",)
    list_filter = ("host", "only_told")
    search_fields = ("uuid", "network__uuid", "network_name")


@admin.register(Remedy)
class RemedyAdmin(StateColumn, OperatorAdmin):
    list_display = ("asked_at", "host", "finding", "asked_by", "state_label", "ended_at")
    list_select_related = ("host", "asked_by")
    list_filter = ("host",)
    search_fields = ("uuid", "finding")


@admin.register(Holding)
class HoldingAdmin(OperatorAdmin):
    list_display = (
        "public_address",
        "ports",
        "protocol",
        "served_name",
        "way",
        "guest_name",
        "network_name",
        "project_name",
        "since",
        "until",
    )
    list_filter = ("way", "protocol", "host_name")
    search_fields = (
        "public_address",
        "=first_port",
        "served_name",
        "guest_name",
        "network_name",
        "project_name",
    )


@admin.register(ForwardUsage)
class ForwardUsageAdmin(OperatorAdmin):
    hidden = ("seen",)
    list_display = ("forward", "connections", "bytes_in", "bytes_out", "last_used_at")
    list_select_related = ("forward__reservation", "forward__public_address")
    list_filter = ("forward__network__host",)
    search_fields = ("forward__uuid", "=forward__public_port", "forward__reservation__name")


@admin.register(HostName)
class HostNameAdmin(StateColumn, OperatorAdmin):
    page = "host-name"
    list_display = ("name", "public_address", "reservation", "http_port", "tls", "state_label")
    list_select_related = ("network__host", "network__job", "reservation", "public_address")
    list_filter = ("public_address", "tls", "present")
    search_fields = ("uuid", "name", "note", "reservation__name")


@admin.register(Certificate)
class CertificateAdmin(OperatorAdmin):
    hidden = ("concealed_key",)
    list_display = (
        "names",
        "host_name",
        "panel_name",
        "issuer",
        "not_before",
        "not_after",
        "given_at",
    )
    list_select_related = ("host_name__reservation", "panel_name")
    list_filter = ("host_name__network__host", "not_after")
    search_fields = ("host_name__name", "panel_name__name", "issuer", "fingerprint")


@admin.register(PanelName)
class PanelNameAdmin(StateColumn, OperatorAdmin):
    page = "panel"
    list_display = ("name", "public_address", "address", "port", "state_label")
    list_select_related = ("public_address__host", "job")
    list_filter = ("public_address", "present")
    search_fields = ("uuid", "name")


@admin.register(HostNameUsage)
class HostNameUsageAdmin(OperatorAdmin):
    hidden = ("seen", "packets_in", "packets_out")
    list_display = ("host_name", "connections", "bytes_in", "bytes_out", "last_used_at")
    list_select_related = ("host_name__reservation",)
    list_filter = ("host_name__network__host",)
    search_fields = ("host_name__uuid", "host_name__name", "host_name__reservation__name")


@admin.register(NetworkUsage)
class NetworkUsageAdmin(OperatorAdmin):
    hidden = ("seen",)
    list_display = ("network", "bytes_in", "bytes_out", "last_used_at")
    list_select_related = ("network",)
    list_filter = ("network__host",)
    search_fields = ("network__uuid", "network__name")


@admin.register(Traffic)
class TrafficAdmin(OperatorAdmin):
    list_display = ("month", "project", "network_name", "bytes_in", "bytes_out")
    list_select_related = ("project",)
    list_filter = ("month", "project")
    search_fields = ("network_name", "network", "project__name")


@admin.register(PortClaim)
class PortClaimAdmin(OperatorAdmin):
    list_display = ("public_address", "port", "protocol", "forward")
    list_select_related = (
        "public_address",
        "forward__reservation",
        "forward__public_address",
    )
    list_filter = ("protocol", "public_address")
    search_fields = ("=port", "public_address__address", "forward__uuid")


@admin.register(AddressSet)
class AddressSetAdmin(OperatorAdmin):
    page = "address-set"
    list_display = ("name", "project", "networks", "created_at")
    list_select_related = ("project",)
    search_fields = ("name", "uuid", "project__name")


class RuleInline(OperatorInline):
    model = Rule
    fields = ("protocol", "first_port", "last_port", "sources", "address_set", "note")
    show_change_link = False


@admin.register(RuleSet)
class RuleSetAdmin(OperatorAdmin):
    page = "rule-set"
    list_display = ("name", "project", "created_at")
    list_select_related = ("project",)
    search_fields = ("name", "uuid", "project__name")
    inlines = (RuleInline,)


@admin.register(Rule)
class RuleAdmin(OperatorAdmin):
    list_display = ("rule_set", "protocol", "first_port", "last_port", "sources", "address_set")
    list_select_related = ("rule_set", "address_set")
    list_filter = ("protocol",)
    search_fields = ("uuid", "note", "rule_set__name", "address_set__name")
