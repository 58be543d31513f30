"""Finding and locking what an action is about."""

from __future__ import annotations

from typing import TypeVar
from uuid import UUID

from django.db.models import Model

from kvmweb.core.access import get_for
from kvmweb.core.errors import Conflict, Invalid, NotFound
from kvmweb.projects.actions import Actor
from networks.models import Forward, HostName, Network, Reservation

M = TypeVar("M", bound=Model)
P = TypeVar("P", Forward, HostName, Reservation)


def named(actor: Actor, model: type[M], uuid: UUID | str, field: str) -> M:
    """What a request names in its field `field`, if the actor may change it."""
    try:
        return get_for(actor.user, model, uuid, write=True)
    except NotFound as error:
        raise Invalid(error.message, field=field, code=f"no_such_{field}") from error


def still_present(part: P) -> P:
    """`part` as it is now that its network's lock is held, unless it is going already."""
    current = type(part)._default_manager.filter(pk=part.pk, present=True).first()
    if current is None:
        raise Conflict(f"This {part._meta.verbose_name} is being removed.", code="deleting")
    return current


def refuse_as_target(reservation: Reservation) -> None:
    """Raise where nothing new may lead to. Call it with the network's lock held, which who parks or
    releases a reservation holds too."""
    if not reservation.present:
        raise Conflict("This address is being released.", field="reservation", code="deleting")
    refuse_parked(reservation, "reservation")


def refuse_parked(reservation: Reservation, field: str = "") -> None:
    """Raise for the address of a VM that is in the recycle bin."""
    if reservation.parked:
        raise Conflict(
            f"VM “{reservation.name}” is in the recycle bin: nothing leads to it.",
            field=field,
            code="in_bin",
            remedy="Take the VM back from the bin first.",
        )


def locked(actor: Actor, uuid: UUID | str, *, field: str = "") -> Network:
    """The network under its lock, if the actor may change it and it is not being deleted."""
    network = get_for(actor.user, Network, uuid, write=True, lock=True)
    if not network.present:
        raise Conflict(f"Network “{network}” is being deleted.", field=field, code="deleting")
    return network
