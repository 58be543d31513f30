"""Giving IPv6 to a network that guests may be running on, or taking it away."""

from __future__ import annotations

from ipaddress import IPv6Network
from uuid import UUID

from django.db import transaction

from kvmweb.core.access import get_for
from kvmweb.core.errors import Conflict, Invalid
from kvmweb.core.ipv6 import SMALLEST_MTU
from kvmweb.core.locks import lock
from kvmweb.hosts.facts import local_prefix6, routed_prefixes6, taken_networks6
from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.jobs.dispatch import request
from kvmweb.jobs.pretend import confirm_first
from kvmweb.projects.actions import Actor, audit
from networks import bridged, prefixes
from networks.actions.lookup import locked
from networks.actions.own_router import refuse_ipv6
from networks.actions.settings import running_guests
from networks.models import Ipv6, Network


def set_ipv6(
    actor: Actor,
    uuid: UUID | str,
    *,
    ipv6: str,
    ipv6_subnet: str = "",
    source_address6: str | None = None,
    confirm: bool = False,
) -> Network:
    """Without a subnet the network keeps its own or gets a free one; without a source address it
    goes out by the host's first public IPv6 address, with an empty one by the host's own. What
    running guests would lose has to be confirmed."""
    with transaction.atomic():
        found = get_for(actor.user, Network, uuid, write=True)
        host = lock(Host.objects.all()).get(pk=found.host_id)
        network = locked(actor, uuid)
        bridged.refuse(network, "ipv6", f"{bridged.OUTSIDE}, of IPv6 too")
        before = (network.ipv6, network.ipv6_subnet, network.source_address6_id)
        choose_ipv6(network, host, ipv6, ipv6_subnet, source_address6)
        after = (network.ipv6, network.ipv6_subnet, network.source_address6_id)
        if after == before:
            return network
        if before[0] != Ipv6.OFF:
            _refuse_loss(network, confirm=confirm)
        network.save(update_fields=["ipv6", "ipv6_subnet", "source_address6"])
        job = request(actor, network, f"Change IPv6 of network {network}")
        audit(
            actor,
            "network.ipv6",
            network,
            project=network.project,
            job=job.uuid,
            ipv6=[before[0], network.ipv6],
            subnet=[before[1], network.ipv6_subnet],
        )
    return network


def choose_ipv6(
    network: Network,
    host: Host,
    ipv6: str,
    ipv6_subnet: str = "",
    source_address6: str | None = None,
) -> None:
    """Set the fields of a row, for an action that holds the locks and saves it."""
    if ipv6 not in Ipv6.values:
        raise Invalid(f"Use one of: {', '.join(Ipv6.values)}.", field="ipv6")
    if ipv6 == Ipv6.OFF:
        network.ipv6, network.ipv6_subnet, network.source_address6 = ipv6, "", None
        return
    refuse_ipv6(network)
    if network.mtu < SMALLEST_MTU:
        raise Invalid(
            f"IPv6 needs an MTU of {SMALLEST_MTU} or more, and this network has {network.mtu}.",
            field="ipv6",
        )
    kept = ipv6_subnet.strip() or (network.ipv6_subnet if ipv6 == network.ipv6 else "")
    network.ipv6_subnet = str(_subnet(network, host, ipv6, kept))
    network.ipv6 = ipv6
    network.source_address6 = _source(host, source_address6) if ipv6 == Ipv6.NAT66 else None


def _subnet(network: Network, host: Host, ipv6: str, text: str) -> IPv6Network:
    others = host.networks.exclude(pk=network.pk).exclude(ipv6_subnet="")
    taken = [
        (IPv6Network(subnet), "another network on this host")
        for subnet in others.values_list("ipv6_subnet", flat=True)
    ]
    routed = routed_prefixes6(host)
    if ipv6 == Ipv6.ROUTED:
        taken += taken_networks6(host, inside=routed)
        blocks, subnet = routed, prefixes.parse_routed(text, routed) if text else None
    else:
        taken += taken_networks6(host)
        blocks, subnet = [local_prefix6(host)], prefixes.parse_local(text) if text else None
    if subnet is None:
        return prefixes.propose(blocks, taken)
    prefixes.refuse_overlap(subnet, taken)
    return subnet


def _source(host: Host, wanted: str | None) -> PublicAddress | None:
    rows = host.public_addresses.filter(address__contains=":").order_by("pk")
    if wanted is None:
        return rows.first()
    if not wanted:
        return None
    found = rows.filter(address=wanted).first()
    if found is None:
        raise Invalid(
            f"The host of this network has no public address {wanted}.",
            field="source_address6",
            code="no_such_address",
        )
    return found


def _refuse_loss(network: Network, *, confirm: bool) -> None:
    forwards = network.forwards.filter(present=True, public_address__address__contains=":").count()
    if network.ipv6 == Ipv6.OFF and forwards:
        raise Conflict(
            f"{forwards} forward{'s' if forwards > 1 else ''} listen on IPv6 addresses.",
            field="ipv6",
            code="network_forwards",
            remedy="Delete them first.",
        )
    if (running := running_guests(network)) and not confirm:
        vms = "1 VM runs" if running == 1 else f"{running} VMs run"
        confirm_first(network, f"{vms} on this network. Their open IPv6 connections end.")
