"""Networks, reservations (a MAC and address fixed in one), forwards, and the ports they claim."""

from networks.models.drift import Drift, DriftQuerySet
from networks.models.networks import Network, NetworkQuerySet
from networks.models.parts import (
    Forward,
    ForwardQuerySet,
    Part,
    PortClaim,
    Reservation,
    ReservationQuerySet,
)
from networks.models.usage import ForwardUsage, NetworkUsage

__all__ = [
    "Drift",
    "DriftQuerySet",
    "Forward",
    "ForwardQuerySet",
    "ForwardUsage",
    "Network",
    "NetworkQuerySet",
    "NetworkUsage",
    "Part",
    "PortClaim",
    "Reservation",
    "ReservationQuerySet",
]
