"""REST: networks, reservations and forwards."""

from networks.api.bulk import BulkForwards
from networks.api.drift import Drifts, Hosts, Remedies
from networks.api.firewall import AddressSets, RuleSets
from networks.api.history import Holdings
from networks.api.networks import Networks
from networks.api.peering import Peerings
from networks.api.reservations import Reservations

__all__ = [
    "AddressSets",
    "BulkForwards",
    "Drifts",
    "Holdings",
    "Hosts",
    "Networks",
    "Peerings",
    "Remedies",
    "Reservations",
    "RuleSets",
]
__all__ = ["BulkForwards", "Drifts", "Hosts", "Networks", "Reservations"]
__all__ = ["BulkForwards", "Networks", "Peerings", "Reservations"]
from networks.api.host_names import HostNames

__all__ = ["BulkForwards", "Drifts", "HostNames", "Hosts", "Networks", "Reservations"]
