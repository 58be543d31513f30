"""REST: what all parts of a network show."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework import serializers

from kvmweb.api.fields import Shown, StateField
from networks.models import (
    Reservation,
)


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
