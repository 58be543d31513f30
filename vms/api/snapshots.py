"""REST: snapshots of VMs."""

from __future__ import annotations

from uuid import UUID

from django_filters import rest_framework as filters
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from kvmweb.api.dry_run import previewed
from kvmweb.api.fields import Body, Filters, Shown, StateField
from kvmweb.api.once import once
from kvmweb.api.schema import starts, takes
from kvmweb.api.views import Resource, actor_of
from vms import actions
from vms.models import Snapshot


class SnapshotShown(Shown):
    id = serializers.UUIDField(source="uuid")
    vm = serializers.UUIDField(source="vm.uuid")
    project = serializers.UUIDField(source="vm.project.uuid")
    name = serializers.CharField()
    note = serializers.CharField()
    stands_on = serializers.UUIDField(
        source="parent.uuid", default=None, allow_null=True, help_text="The one before it."
    )
    state = StateField()
    problem = serializers.CharField(help_text="Why it was not taken; empty if it was.")
    lost = serializers.BooleanField(help_text="It is gone from the host's disk.")
    scheduled = serializers.BooleanField(help_text="Taken by the VM's schedule.")
    memory = serializers.BooleanField(source="has_memory", help_text="A guest can go on from it.")
    memory_bytes = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    taken_at = serializers.DateTimeField(allow_null=True)
    job = serializers.UUIDField(source="job.uuid", allow_null=True, help_text="The VM's newest.")


class NewSnapshot(Body):
    vm = serializers.UUIDField()
    name = serializers.CharField(max_length=63)
    note = serializers.CharField(default="", allow_blank=True, max_length=200)
    memory = serializers.BooleanField(
        default=True,
        help_text="With the guest's memory, if it runs; it stands still while that is written.",
    )


class GoingBack(Body):
    memory = serializers.BooleanField(
        default=True, help_text="Let the guest go on from its memory, if the snapshot has it."
    )


class SnapshotFilter(Filters):
    project = filters.UUIDFilter("vm__project__uuid")
    vm = filters.UUIDFilter("vm__uuid")
    scheduled = filters.BooleanFilter("scheduled")


class Snapshots(Resource):
    """What VMs can go back to."""

    model = Snapshot
    serializer_class = SnapshotShown
    filterset_class = SnapshotFilter

    @previewed
    @takes(NewSnapshot, SnapshotShown)
    @once
    def create(self, request: Request) -> Response:
        """Take a snapshot of all disks of a VM at one moment."""
        return self.accepted(actions.take_snapshot(actor_of(request), **self.body(NewSnapshot)))

    @previewed
    @starts(SnapshotShown)
    def destroy(self, request: Request, uuid: UUID) -> Response:
        """Delete a snapshot; the VM and its other snapshots stay as they are."""
        return self.accepted(actions.delete_snapshot(actor_of(request), uuid))

    @previewed
    @takes(GoingBack, SnapshotShown)
    @action(detail=True, methods=["post"], url_path="go-back", url_name="return")
    @once
    def go_back(self, request: Request, uuid: UUID) -> Response:
        """Bring the VM back to a snapshot; what was written since is lost."""
        return self.accepted(actions.go_back(actor_of(request), uuid, **self.body(GoingBack)))
