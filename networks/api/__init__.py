"""REST: networks, reservations and forwards."""

from networks.api.attachments import Attachments
from networks.api.bulk import BulkForwards
from networks.api.drift import Drifts, Hosts, Remedies
from networks.api.firewall import AddressSets, RuleSets
from networks.api.history import Holdings
from networks.api.host_names import HostNames
from networks.api.networks import Networks
from networks.api.panel import PanelNames
from networks.api.peering import Peerings
from networks.api.reservations import Reservations
from networks.api.traffic import TrafficOfMonths

__all__ = [
    "AddressSets",
    "Attachments",
    "BulkForwards",
    "Drifts",
    "Holdings",
    "HostNames",
    "Hosts",
    "Networks",
    "PanelNames",
    "Peerings",
    "Remedies",
    "Reservations",
    "RuleSets",
    "TrafficOfMonths",
]
