"""Snapshots of VMs: a tree, in which each stands on the one the VM was at when it was taken."""

from __future__ import annotations

from typing import Self
from uuid import uuid4

from django.db import models
from django.db.models import Q

from kvmweb.core.access import User
from kvmweb.core.choices import State
from kvmweb.jobs.models import Job
from kvmweb.projects.models import Project, seen_by, written_by
from vms.models.vms import Disk, Vm


class SnapshotQuerySet(models.QuerySet["Snapshot"]):
    def visible_to(self, user: User) -> Self:
        return self.filter(seen_by(user, "vm__project"))

    def writable_by(self, user: User) -> Self:
        return self.filter(written_by(user, "vm__project"))

    def present(self) -> Self:
        """Without those that are being deleted."""
        return self.filter(present=True)

    def on_host(self) -> Self:
        """Those the host is to have."""
        return self.filter(present=True, problem="")

    def for_display(self) -> Self:
        return self.select_related("vm__project", "vm__job", "parent")


class Snapshot(models.Model):
    """The disks of a VM, and perhaps the memory of its guest, as they were.

    `disks` are the UUIDs of those it is of, `macs` those of the NICs the guest had. `since` is the
    VM's generation that asks for it, or for it to go. What follows `problem` is observed.
    """

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    vm = models.ForeignKey(Vm, on_delete=models.CASCADE, related_name="snapshots")
    name = models.CharField(max_length=63)
    note = models.CharField(max_length=200, blank=True)
    parent = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="children"
    )
    disks = models.JSONField(default=list, editable=False)
    macs = models.JSONField(default=list, editable=False)
    memory = models.BooleanField(default=False, help_text="Whether its memory was asked for.")
    scheduled = models.BooleanField(default=False, editable=False)
    present = models.BooleanField(default=True, editable=False)
    since = models.PositiveBigIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    problem = models.CharField(max_length=500, blank=True, editable=False)
    taken_at = models.DateTimeField(null=True, editable=False)
    lost = models.BooleanField(default=False, editable=False)
    has_memory = models.BooleanField(default=False, editable=False)
    memory_bytes = models.PositiveBigIntegerField(default=0, editable=False)

    objects = SnapshotQuerySet.as_manager()

    class Meta:
        ordering = ["created_at", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["vm", "name"], condition=Q(present=True), name="snapshot_name_once"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def project(self) -> Project:
        return self.vm.project

    @property
    def job(self) -> Job | None:
        """The newest job of its VM."""
        return self.vm.job

    @property
    def state(self) -> State:
        if not self.present:
            return State.DELETING
        if self.problem or self.lost:
            return State.ATTENTION
        return State.READY if self.taken_at else State.CREATING

    @property
    def is_usable(self) -> bool:
        """Whether a VM can go back to it, or be made of it."""
        return self.present and self.taken_at is not None and not self.lost

    def covers(self, disk: Disk) -> bool:
        return str(disk.uuid) in self.disks
