"""Networks, reservations (a MAC and address fixed in one), forwards, and the ports they claim."""

from networks.models.networks import Network, NetworkQuerySet
from networks.models.parts import (
    Forward,
    ForwardQuerySet,
    Part,
    PortClaim,
    Reservation,
    ReservationQuerySet,
)

__all__ = [
    "Forward",
    "ForwardQuerySet",
    "Network",
    "NetworkQuerySet",
    "Part",
    "PortClaim",
    "Reservation",
    "ReservationQuerySet",
]
