"""REST: networks, reservations and forwards."""

from networks.api.forwards import Forwards
from networks.api.networks import Networks
from networks.api.reservations import Reservations

__all__ = ["Forwards", "Networks", "Reservations"]
