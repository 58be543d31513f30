"""Networks, reservations (a MAC and address fixed in one), forwards and the ports they claim, what
these carried, and the firewall of guests.
"""

from networks.models.attachments import Attachment, AttachmentQuerySet
from networks.models.drift import Drift, DriftQuerySet
from networks.models.firewall import AddressSet, Rule, RuleSet
from networks.models.history import Holding, HoldingQuerySet
from networks.models.host_names import (
    RENEWED_BEFORE,
    Certificate,
    HostName,
    HostNameQuerySet,
)
from networks.models.ipv6 import Ipv6
from networks.models.leases import Lease, LeaseQuerySet
from networks.models.networks import Network, NetworkQuerySet
from networks.models.panel import PanelName, PanelNameQuerySet
from networks.models.parts import (
    WARNED_BEFORE,
    Forward,
    ForwardQuerySet,
    Part,
    PortClaim,
    Reservation,
    ReservationQuerySet,
)
from networks.models.peering import Peering, PeeringQuerySet
from networks.models.remedies import Remedy
from networks.models.traffic import Traffic, TrafficQuerySet
from networks.models.usage import ForwardUsage, HostNameUsage, NetworkUsage
from networks.models.ways import EgressRule, PoolAddress

__all__ = [
    "RENEWED_BEFORE",
    "WARNED_BEFORE",
    "AddressSet",
    "Attachment",
    "AttachmentQuerySet",
    "Certificate",
    "Drift",
    "DriftQuerySet",
    "EgressRule",
    "Forward",
    "ForwardQuerySet",
    "ForwardUsage",
    "Holding",
    "HoldingQuerySet",
    "HostName",
    "HostNameQuerySet",
    "HostNameUsage",
    "Ipv6",
    "Lease",
    "LeaseQuerySet",
    "Network",
    "NetworkQuerySet",
    "NetworkUsage",
    "PanelName",
    "PanelNameQuerySet",
    "Part",
    "Peering",
    "PeeringQuerySet",
    "PoolAddress",
    "PortClaim",
    "Remedy",
    "Reservation",
    "ReservationQuerySet",
    "Rule",
    "RuleSet",
    "Traffic",
    "TrafficQuerySet",
]
