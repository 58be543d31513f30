"""What a bridged network is not for: its guests are on the host's own wire, and what happens there
is its owner's."""

from __future__ import annotations

from kvmweb.core.errors import Conflict
from networks.models import Network

OUTSIDE = "Its guests have their addresses from outside"
_REACHED = "and are reached there by them, so nothing is translated for them here"


def refuse(network: Network, field: str, why: str, remedy: str = "") -> None:
    """Raise if the network is bridged."""
    if refused := refusal(network, field, why, remedy):
        raise refused


def refusal(network: Network, field: str, why: str, remedy: str = "") -> Conflict | None:
    """What is said of this if the network is bridged."""
    if not network.is_bridged:
        return None
    message = f"Network “{network}” is bridged. {why}."
    return Conflict(message, field=field, code="network_bridged", remedy=remedy)


def refuse_way_in(network: Network, field: str = "reservation") -> None:
    """Raise where a forward or a host name would lead into a bridged network."""
    remedy = "Open the guest by rules of its firewall instead."
    if not network.is_filtered:
        remedy = "The guest is reached by its own address as it is."
    refuse(network, field, f"{OUTSIDE} {_REACHED}", remedy)


def refuse_peers(network: Network, field: str) -> None:
    """Raise where another network would reach a bridged one."""
    refuse(network, field, f"{OUTSIDE}, and go their own way there")


def refuse_unfiltered(network: Network, field: str) -> None:
    """Raise if the frames of the network's guests never pass us."""
    if refused := unfiltered(network, field):
        raise refused


def unfiltered(network: Network, field: str = "") -> Conflict | None:
    """What is said of this if the frames of the network's guests never pass us."""
    if network.attachment is None or network.is_filtered:
        return None
    return Conflict(
        f"Guests of network “{network}” are on the uplink {network.attachment.interface} by"
        " macvtap, which passes the host by: nothing can be filtered, limited or noted here.",
        field=field,
        code="not_filtered",
        remedy="Put guests that need it on a bridge of the host, or filter inside of them.",
    )
