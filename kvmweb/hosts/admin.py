"""Operators: hosts and their public addresses."""

from __future__ import annotations

from django.contrib import admin

from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.projects.operators import OperatorAdmin, OperatorInline


class PublicAddressInline(OperatorInline):
    model = PublicAddress
    may_add = may_change = may_delete = True
    fields = ("address", "is_default", "first_port", "last_port")


@admin.register(Host)
class HostAdmin(OperatorAdmin):
    """Its key is never shown; it travels in the host's configuration alone."""

    may_add = may_change = True
    editable = (
        "name",
        "maintenance",
        "accelerator",
        "reserved_ports",
        "routed_subnets",
        "routed_prefixes6",
        "transit_block",
    )
    hidden = ("key",)
    page = "host"
    list_display = ("name", "state_label", "maintenance", "accelerator", "monitor_seen_at")
    list_filter = ("maintenance", "accelerator")
    search_fields = ("name", "uuid", "public_addresses__address")
    inlines = (PublicAddressInline,)

    @admin.display(description="State")
    def state_label(self, host: Host) -> str:
        return host.state.label

    def get_readonly_fields(self, request: object, obj: Host | None = None) -> list[str]:  # type: ignore[override]
        """A host's name carries its queues: it stays once given."""
        readonly = super().get_readonly_fields(request, obj)  # type: ignore[arg-type]
        return readonly if obj is None else [*readonly, "name"]


@admin.register(PublicAddress)
class PublicAddressAdmin(OperatorAdmin):
    may_add = may_change = True
    editable = ("host", "address", "is_default", "first_port", "last_port")
    list_display = ("address", "host", "is_default", "first_port", "last_port")
    list_select_related = ("host",)
    list_filter = ("is_default", "host")
    search_fields = ("address", "host__name", "uuid")
