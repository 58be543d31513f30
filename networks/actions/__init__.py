"""What people ask of networks, reservations, forwards, host names and the firewall of guests.

Each action checks access, takes its locks in the order project, host, public address, network,
validates, writes rows, and asks for a job, in one transaction. Nothing here talks to a host.
"""

from networks.actions.attachments import release_attachment, withdraw_attachment
from networks.actions.bulk import add_forwards
from networks.actions.drift import set_repairs
from networks.actions.firewall import (
    apply_to_network,
    apply_to_reservation,
    change_address_set,
    change_rule_set,
    create_address_set,
    create_rule_set,
    delete_address_set,
    delete_rule_set,
)
from networks.actions.forwards import (
    add_forward,
    change_forward,
    delete_forward,
    expire_forward,
    extend_forward,
    lock_public_address,
    open_port,
    pause_forward,
    resume_forward,
)
from networks.actions.host_names import (
    add_host_name,
    change_host_name,
    delete_host_name,
    expire_host_name,
    extend_host_name,
    pause_host_name,
    resume_host_name,
)
from networks.actions.ipv6 import set_ipv6
from networks.actions.networks import (
    check_network,
    create_network,
    delete_network,
    new_network,
    proposed_subnet,
    repair_network,
)
from networks.actions.panel import add_panel_name, change_panel_name, delete_panel_name
from networks.actions.peering import accept_peering, ask_peering, end_peering
from networks.actions.remedies import apply_remedy
from networks.actions.reservations import (
    add_reservation,
    change_reservation,
    delete_reservation,
    park,
    release,
    reserve,
)
from networks.actions.services import set_services
from networks.actions.settings import change_network

__all__ = [
    "accept_peering",
    "add_forward",
    "add_forwards",
    "add_host_name",
    "add_panel_name",
    "add_reservation",
    "apply_remedy",
    "apply_to_network",
    "apply_to_reservation",
    "ask_peering",
    "change_address_set",
    "change_forward",
    "change_host_name",
    "change_network",
    "change_panel_name",
    "change_reservation",
    "change_rule_set",
    "check_network",
    "create_address_set",
    "create_network",
    "create_rule_set",
    "delete_address_set",
    "delete_forward",
    "delete_host_name",
    "delete_network",
    "delete_panel_name",
    "delete_reservation",
    "delete_rule_set",
    "end_peering",
    "expire_forward",
    "expire_host_name",
    "extend_forward",
    "extend_host_name",
    "lock_public_address",
    "new_network",
    "open_port",
    "park",
    "pause_forward",
    "pause_host_name",
    "proposed_subnet",
    "release",
    "release_attachment",
    "repair_network",
    "reserve",
    "resume_forward",
    "resume_host_name",
    "set_ipv6",
    "set_repairs",
    "set_services",
    "withdraw_attachment",
]
