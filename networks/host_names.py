"""Which host name may be taken on a public address, and by whom.

Ports 80 and 443 of an address belong either to forwards or to all host names there together.
"""

from __future__ import annotations

from django.conf import settings
from django.utils.http import is_same_domain

from kvmweb.core.errors import Conflict, Invalid
from kvmweb.hosts.facts import listening_ports
from kvmweb.hosts.models import PublicAddress
from networks.host.proxy import PORTS, is_name
from networks.models import Forward, Network, PanelName, PortClaim


def parse_name(text: str) -> str:
    """A host name (RFC 1123), perhaps with `*.` for one label, as it is compared: in lower case.

    Names of other scripts are wanted in their ASCII form (RFC 5891), so that nobody takes one for
    another.
    """
    name = text.strip().rstrip(".").lower()
    if name.isascii() and is_name(name) and not name.rpartition(".")[2].isdigit():
        return name
    raise Invalid(
        "This is no host name.",
        field="name",
        remedy=_ascii_form(name) or "Write a whole name such as www.example.org or *.example.org.",
    )


def _ascii_form(name: str) -> str:
    try:
        ascii_form = "" if name.isascii() else name.encode("idna").decode()
    except UnicodeError:
        return ""
    return f"Write it in its ASCII form, {ascii_form}" if is_name(ascii_form) else ""


def refuse_taken(public: PublicAddress, name: str, network: Network | None) -> None:
    """Raise if another has this name there, or a wildcard that it belongs to. Call it with the
    address's row locked. Another project is never named. Without a network it is for the panel,
    whose name is in no project.
    """
    held = public.host_names.filter(name=name).exists()
    held = held or public.panel_names.filter(name=name).exists()
    held = held or (network is not None and is_panels(name))
    others = public.host_names.all()
    if network is not None:
        others = others.exclude(network__project=network.project_id)
    parent = name.partition(".")[2]
    if name.startswith("*."):
        below = [
            *others.filter(name__endswith=f".{parent}").values_list("name", flat=True),
            *public.panel_names.values_list("name", flat=True),
        ]
        held = held or any(other.partition(".")[2] == parent for other in below)
    else:
        held = held or others.filter(name=f"*.{parent}").exists()
    if held:
        raise Conflict(
            f"The name {name} is taken on {public}.", field="name", code="host_name_taken"
        )


def is_panels(name: str) -> bool:
    """Whether the panel answers to this name, or to one that this wildcard covers. Whoever had it
    would be sent the cookies of the panel's users, which know no ports, and could have a
    certificate made for it."""
    own = [each.lower() for each in settings.KVMWEB_OWN_NAMES]
    own += PanelName.objects.filter(present=True).values_list("name", flat=True)
    parent = name.removeprefix("*.")
    if parent == name:
        return any(is_same_domain(name, each) for each in own)
    whole = (each for each in own if each.startswith("."))
    return any(each.partition(".")[2] == parent for each in own) or any(
        is_same_domain(parent, each) for each in whole
    )


def refuse_no_ports(public: PublicAddress) -> None:
    """Raise if something else has port 80 or 443 there. Call it with the address's row locked."""
    if _is_shared(public):
        return
    claims = PortClaim.objects.filter(public_address=public)
    if claims.filter(protocol=Forward.Protocol.ALL).exists():
        raise Conflict(
            f"All of {public} leads to one guest (1:1 NAT).",
            field="public_address",
            code="address_taken",
            remedy="Choose another public address.",
        )
    claimed = claims.filter(protocol="tcp", port__in=PORTS)
    if taken := claimed.values_list("port", flat=True).first():
        raise Conflict(
            f"Port {taken} of {public} belongs to a forward, so host names cannot share it.",
            field="public_address",
            code="port_taken",
            remedy="Choose another public address, or have that forward removed first.",
        )
    heard = listening_ports(public.host, public.address)
    if busy := sorted(port for port in PORTS if ("tcp", port) in heard):
        raise Conflict(
            f"A program of the host itself listens on port {busy[0]} of {public}.",
            field="public_address",
            code="port_in_use",
            remedy="Choose another public address, or ask an operator to free the port.",
        )


def _is_shared(public: PublicAddress) -> bool:
    """Whether its ports 80 and 443 belong to names."""
    return public.host_names.exists() or public.panel_names.exists()


def shared_port(public: PublicAddress, protocols: list[str], first: int, last: int) -> int:
    """The first of these ports that belongs to the host names of the address; 0 when none does."""
    wanted = [port for port in PORTS if first <= port <= last and "tcp" in protocols]
    return wanted[0] if wanted and _is_shared(public) else 0
