"""REST: networks, reservations and forwards."""

from networks.api.bulk import BulkForwards
from networks.api.networks import Networks
from networks.api.reservations import Reservations

__all__ = ["BulkForwards", "Networks", "Reservations"]
