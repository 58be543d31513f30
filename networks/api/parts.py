"""REST: what all parts of a network show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from rest_framework import serializers

from kvmweb.api.fields import Body, Shown, StateField
from kvmweb.core.access import User
from kvmweb.core.errors import Invalid, KvmwebError
from networks import expiry
from networks.models import Reservation


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


class Extension(Body):
    """How much longer what leads in is to last."""

    hours = serializers.IntegerField(
        default=expiry.USUAL_HOURS, min_value=1, max_value=expiry.MOST_HOURS
    )


def reservation_of(user: User, vm: UUID, field: str = "vm") -> UUID:
    """The first address of a VM."""
    visible = Reservation.objects.visible_to(user).filter(nic__vm__uuid=vm)
    first = visible.order_by("nic__pk").first()
    if first is None:
        raise Invalid("There is no such VM.", field=field, code="no_such_vm")
    return first.uuid


@contextmanager
def target_of(user: User, wanted: dict[str, Any]) -> Iterator[None]:
    """Have `wanted` name a reservation where it named a VM: its first address. Refusals name what
    the request named."""
    vm = wanted.pop("vm")
    if vm is not None:
        wanted["reservation"] = reservation_of(user, vm)
    try:
        yield
    except KvmwebError as error:
        if vm is not None and error.field == "reservation":
            error.field = "vm"
        raise
