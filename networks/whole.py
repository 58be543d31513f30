"""1:1 NAT, and guests that leave by the public address of a forward: what speaks against it."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from kvmweb.core.errors import Conflict, Invalid
from kvmweb.hosts.models import PublicAddress
from networks.models import Forward, Network


def take(forward: Forward, public_port: int | None, target_port: int | None, count: int) -> None:
    """Make `forward` lead all of its address, both ways."""
    if public_port is not None or target_port is not None or count != 1:
        refuse_ports(forward, "public_port" if public_port is not None else "target_port")
    _refuse_in_use(forward.public_address)
    forward.public_port = forward.target_port = 0
    set_source_nat(forward, wanted=True)


def refuse_ports(forward: Forward, field: str) -> None:
    """Raise if a forward of everything is asked to have ports."""
    if forward.is_whole:
        raise Invalid(
            "1:1 NAT leads every port of the address; there is none to choose.", field=field
        )


def _refuse_in_use(public: PublicAddress) -> None:
    """Raise if the host or a network needs the address itself."""
    if public.is_ipv6:
        raise Conflict(
            "IPv6 needs no 1:1 NAT: a routed prefix gives every guest an address of its own.",
            field="public_address",
            code="address_in_use",
            remedy="Choose an IPv4 address, or give the network a routed IPv6 prefix.",
        )
    if public.is_default:
        raise Conflict(
            f"{public} is how the host itself, the panel and its networks are reached and go out.",
            field="public_address",
            code="default_address",
            remedy="Choose another public address of the host.",
        )
    if leaving_by(public).exists():
        raise Conflict(
            f"Networks go out by {public} (source NAT), so it cannot be one guest's alone.",
            field="public_address",
            code="address_in_use",
            remedy="Let them go out by another address first.",
        )
    facts = public.host.facts
    if any(each["address"] == public.address for each in facts.get("listeners", ())):
        raise Conflict(
            f"A program of the host itself listens at {public}.",
            field="public_address",
            code="address_in_use",
            remedy="Stop it there, or choose another public address.",
        )


def leaving_by(public: PublicAddress) -> QuerySet[Network]:
    """The networks whose guests go out by this address."""
    return Network.objects.filter(Q(source_address=public) | Q(pool__public_address=public))


def refuse_as_source(public: PublicAddress, field: str) -> None:
    """Raise if no network may go out by `public`, because it is one guest's. Call it with the
    address's row locked.
    """
    if public.claims.filter(protocol=Forward.Protocol.ALL).exists():
        raise Conflict(
            f"All of {public} leads to one guest (1:1 NAT).",
            field=field,
            code="address_taken",
            remedy="Choose another public address.",
        )


def set_source_nat(forward: Forward, *, wanted: bool) -> None:
    """Let what the guest begins leave by the forward's public address, or no longer."""
    if forward.is_whole and not wanted:
        raise Invalid("1:1 NAT is both ways.", field="source_nat")
    forward.source_nat = wanted
    refuse_second_source(forward)


def refuse_second_source(forward: Forward) -> None:
    """Raise if the guest already leaves by another address, or keeps its own."""
    if not forward.source_nat:
        return
    if forward.network.mode != Network.Mode.NAT or forward.public_address.is_ipv6:
        raise Conflict(
            f"Guests of network “{forward.network}” keep their own addresses outside.",
            field="source_nat",
            code="no_source_nat",
        )
    others = Forward.objects.filter(
        reservation=forward.reservation, present=True, source_nat=True
    ).exclude(public_address=forward.public_address)
    if other := others.exclude(pk=forward.pk).select_related("public_address").first():
        raise Conflict(
            f"{forward.reservation.name} already leaves by {other.public_address}.",
            field="source_nat",
            code="second_source",
            remedy="Take that back first: a guest leaves by one address.",
        )
