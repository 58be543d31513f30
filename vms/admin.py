"""Operators: images, VMs, their disks and NICs."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from kvmweb.projects.operators import Button, OperatorAdmin, OperatorInline
from vms.actions import bin_vm, check_vm, repair_vm, restore_vm
from vms.models import Disk, Image, Nic, Vm


@admin.register(Image)
class ImageAdmin(OperatorAdmin):
    """What an image contains is said once: VMs stand on it."""

    may_add = may_change = True
    editable = ("name", "description", "project", "min_memory_mib", "default_user")
    content = ("sha256", "size_bytes", "virtual_size_bytes", "source")
    list_display = ("name", "project", "size_bytes", "min_memory_mib", "created_at")
    list_select_related = ("project",)
    list_filter = ("created_at",)
    search_fields = ("name", "uuid", "sha256", "project__name")

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        fields = super().get_fields(request, obj)
        return fields if obj is not None else [*fields, *self.content]


class DiskInline(OperatorInline):
    model = Disk
    fields = readonly_fields = ("size_gib", "image")


class NicInline(OperatorInline):
    model = Nic
    fields = readonly_fields = ("reservation",)


@admin.register(Vm)
class VmAdmin(OperatorAdmin):
    """User-data may hold secrets of its project; it is not shown."""

    page = "vm"
    hidden = ("user_data",)
    buttons = (
        Button("check", "Check", lambda actor, vm: check_vm(actor, vm.uuid)),
        Button("bin", "Put into the bin", lambda actor, vm: bin_vm(actor, vm.uuid)),
        Button("restore", "Take back", lambda actor, vm: restore_vm(actor, vm.uuid)),
        Button("repair", "Repair", lambda actor, vm: repair_vm(actor, vm.uuid)),
    )
    list_display = ("name", "project", "host", "vcpus", "memory_mib", "state_label", "created_at")
    list_select_related = ("project", "host", "job")
    list_filter = ("host", "power", "power_state", "present")
    search_fields = ("name", "uuid", "project__name", "nics__reservation__address")
    inlines = (DiskInline, NicInline)

    @admin.display(description="State")
    def state_label(self, vm: Any) -> str:
        return str(vm.state.label)


@admin.register(Disk)
class DiskAdmin(OperatorAdmin):
    list_display = ("vm", "size_gib", "image")
    list_select_related = ("vm", "image")
    list_filter = ("image",)
    search_fields = ("vm__name", "uuid")


@admin.register(Nic)
class NicAdmin(OperatorAdmin):
    list_display = ("vm", "reservation")
    list_select_related = ("vm", "reservation__network")
    list_filter = ("reservation__network__host",)
    search_fields = ("vm__name", "reservation__address", "reservation__mac", "uuid")
