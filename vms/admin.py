"""Operators: images, VMs, their disks, NICs and consoles."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from kvmweb.projects.actions import Actor
from kvmweb.projects.operators import Button, OperatorAdmin, OperatorInline
from vms.actions import (
    bin_vm,
    check_vm,
    delete_image,
    delete_snapshot,
    deprecate_image,
    repair_vm,
    restore_vm,
)
from vms.models import Console, Disk, Flavour, Image, Nic, Picture, Snapshot, SshKey, Vm


def _offer(actor: Actor, image: Image) -> object:
    return deprecate_image(actor, image.uuid, deprecated=False)


@admin.register(Image)
class ImageAdmin(OperatorAdmin):
    """What an image contains is said once: VMs stand on it."""

    page = "image"
    may_add = may_change = True
    editable = (
        "name",
        "description",
        "os",
        "project",
        "default_user",
        "firmware",
        "speaks_cloud_init",
        "min_memory_mib",
        "least_disk_gib",
    )
    content = ("sha256", "size_bytes", "virtual_size_bytes", "source")
    buttons = (
        Button("deprecate", "Deprecate", lambda actor, image: deprecate_image(actor, image.uuid)),
        Button("offer", "Offer again", _offer),
        Button("delete", "Delete", lambda actor, image: delete_image(actor, image.uuid)),
    )
    list_display = ("name", "version", "project", "state_label", "size_bytes", "created_at")
    list_select_related = ("project", "job")
    list_filter = ("origin", "firmware", "created_at")
    search_fields = ("name", "os", "uuid", "sha256", "project__name")

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        fields = super().get_fields(request, obj)
        return fields if obj is not None else [*fields, *self.content]

    @admin.display(description="State")
    def state_label(self, image: Any) -> str:
        return str(image.state.label)


class DiskInline(OperatorInline):
    model = Disk
    fields = readonly_fields = ("size_gib", "image")


class NicInline(OperatorInline):
    model = Nic
    fields = readonly_fields = ("reservation",)


@admin.register(Vm)
class VmAdmin(OperatorAdmin):
    """User-data may hold secrets of its project; neither it nor the password's hash is shown."""

    page = "vm"
    hidden = ("user_data", "password_hash")
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


@admin.register(SshKey)
class SshKeyAdmin(OperatorAdmin):
    """Operators may remove a key, not add one in another's name."""

    may_delete = True
    list_display = ("name", "user", "fingerprint", "created_at")
    list_select_related = ("user",)
    list_filter = ("created_at",)
    search_fields = ("name", "fingerprint", "user__username")


@admin.register(Picture)
class PictureAdmin(OperatorAdmin):
    hidden = ("png",)
    list_display = ("vm", "taken_at")
    list_select_related = ("vm",)
    list_filter = ("taken_at",)
    search_fields = ("vm__name",)


@admin.register(Console)
class ConsoleAdmin(OperatorAdmin):
    hidden = ("digest", "holder")
    list_display = ("vm", "kind", "user", "has_control", "opened_at", "ended_at")
    list_select_related = ("vm", "user")
    list_filter = ("kind", "has_control", "opened_at")
    search_fields = ("vm__name", "user__username", "source", "uuid")


@admin.register(Snapshot)
class SnapshotAdmin(OperatorAdmin):
    buttons = (
        Button("delete", "Delete", lambda actor, snapshot: delete_snapshot(actor, snapshot.uuid)),
    )
    list_display = ("name", "vm", "state_label", "has_memory", "memory_bytes", "taken_at")
    list_select_related = ("vm",)
    list_filter = ("scheduled", "has_memory", "lost", "vm__host")
    search_fields = ("name", "vm__name", "uuid")

    @admin.display(description="State")
    def state_label(self, snapshot: Any) -> str:
        return str(snapshot.state.label)


@admin.register(Flavour)
class FlavourAdmin(OperatorAdmin):
    """VMs carry its numbers, so changing or deleting it changes none of them."""

    may_add = may_change = may_delete = True
    editable = ("name", "vcpus", "memory_mib", "disk_gib", "projects")
    filter_horizontal = ()
    list_display = ("name", "vcpus", "memory_mib", "disk_gib", "created_at")
    list_filter = ("created_at",)
    search_fields = ("name", "uuid")

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        fields = super().get_fields(request, obj)
        return fields if obj is None else [*fields, "projects"]
