"""What people ask of networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Network
from uuid import UUID

from django.db import transaction

from kvmweb.core.access import get_for
from kvmweb.core.errors import Conflict, Invalid
from kvmweb.core.locks import lock
from kvmweb.core.text import parse_label
from kvmweb.hosts.facts import choose_host, public_networks, routed_subnets, taken_networks
from kvmweb.hosts.models import Host
from kvmweb.jobs.actions import check, repair
from kvmweb.jobs.dispatch import request
from kvmweb.jobs.models import Job
from kvmweb.projects.actions import Actor, audit, project_for
from kvmweb.projects.models import Project
from networks import bridged, subnets
from networks.actions.attachments import host_of, put_on
from networks.actions.ipv6 import choose_ipv6
from networks.actions.lookup import locked
from networks.actions.own_router import own_router_remedy, refuse_routed, reserved, transit
from networks.actions.peering import part
from networks.actions.settings import (
    apply_settings,
    parse_mode,
    parse_mtu,
    parse_sources,
    refuse_for_bridged,
    settings_of,
)
from networks.models import Ipv6, Network, Peering


def create_network(
    actor: Actor,
    *,
    name: str,
    mode: str = Network.Mode.NAT,
    ipv4_subnet: str = "",
    mtu: int = 1500,
    source_addresses: Sequence[str] | None = None,
    guests_apart: bool = False,
    logs_refused: bool = False,
    ipv6: str = Ipv6.OFF,
    ipv6_subnet: str = "",
    own_router: bool = False,
    attachment: UUID | str | None = None,
    guarded: bool | None = None,
    project: UUID | str | None = None,
    host: UUID | str | None = None,
) -> Network:
    """A new network; without a subnet it gets a free one, without source addresses the host's
    default one. One with a router of its own may have a subnet that other networks of the host
    have too. Its `job` builds it."""
    with transaction.atomic():
        owner = lock(Project.objects.all()).get(pk=project_for(actor, project).pk)
        host = host or host_of(actor, attachment)
        where = lock(Host.objects.all()).get(pk=choose_host(uuid=host).pk)
        _refuse_unfit(mode, attachment, guarded)
        make = _bridged_network if mode == Network.Mode.BRIDGED else new_network
        network = make(
            owner, where, name=name, mode=mode, ipv4_subnet=ipv4_subnet, own_router=own_router
        )
        if network.is_bridged:
            put_on(network, actor, attachment, guarded=guarded)
            network.save(update_fields=["attachment", "guarded"])
        made = settings_of(network)
        settings = replace(
            made,
            mtu=parse_mtu(mtu),
            guests_apart=guests_apart,
            logs_refused=logs_refused,
            sources=parse_sources(where, mode, made, source_addresses),
        )
        refuse_for_bridged(network, made, settings)
        if settings != made:
            apply_settings(network, settings)
        if ipv6 != Ipv6.OFF:
            bridged.refuse(network, "ipv6", f"{bridged.OUTSIDE}, of IPv6 too")
            choose_ipv6(network, where, ipv6, ipv6_subnet)
            network.save(update_fields=["ipv6", "ipv6_subnet", "source_address6"])
        job = request(actor, network, f"Create network {network}")
        audit(
            actor,
            "network.create",
            network,
            project=owner,
            job=job.uuid,
            subnet=network.place,
        )
    return network


def _refuse_unfit(mode: str, attachment: object, guarded: object) -> None:
    """Raise for what only a bridged network has."""
    given = {"attachment": bool(attachment), "guarded": guarded is not None}
    for field in (name for name, is_given in given.items() if is_given):
        if mode != Network.Mode.BRIDGED:
            raise Invalid(
                "Only guests of a bridged network are on an interface of the host.",
                field=field,
                remedy="Leave it out, or choose the mode bridged.",
            )


def new_network(
    project: Project,
    host: Host,
    *,
    name: str,
    mode: str,
    ipv4_subnet: str,
    own_router: bool = False,
) -> Network:
    """The row of a network, for an action that holds both locks and asks for its job itself. One
    that is bridged needs more, see `create_network`."""
    if parse_mode(mode) == Network.Mode.BRIDGED:
        raise Invalid(
            "A bridged network is on an interface of the host, which has to be named.",
            field="mode",
            remedy="Make the network first.",
        )
    label = _free_name(project, name)
    if own_router:
        refuse_routed(mode, "own_router")
    taken, routed = _taken(host, project), routed_subnets(host)
    if mode != Network.Mode.ROUTED:
        taken += [(block, f"{block}, which is for routed networks") for block in routed]
        routed = []
    if ipv4_subnet.strip():
        subnet = subnets.parse_subnet(ipv4_subnet, routed)
        subnets.refuse_overlap(subnet, reserved(host))
        if not own_router:
            subnets.refuse_overlap(subnet, taken, own_router_remedy(mode))
    else:
        subnet = subnets.propose(taken)
    source = host.public_addresses.filter(is_default=True).first()
    return Network.objects.create(
        project=project,
        host=host,
        name=label,
        mode=mode,
        ipv4_subnet=str(subnet),
        transit_subnet=str(transit(host, subnet, taken)) if own_router else "",
        source_address=source if mode == Network.Mode.NAT else None,
    )


def _free_name(project: Project, name: str) -> str:
    label = parse_label(name)
    if project.networks.filter(name=label, present=True).exists():
        raise Conflict(
            f"There is a network “{label}” in this project.", field="name", code="name_taken"
        )
    return label


def _bridged_network(
    project: Project, host: Host, *, name: str, mode: str, ipv4_subnet: str, own_router: bool
) -> Network:
    """It has no subnet: its guests have their addresses from outside."""
    label = _free_name(project, name)
    given = {"ipv4_subnet": bool(ipv4_subnet.strip()), "own_router": own_router}
    for field in (name for name, is_given in given.items() if is_given):
        raise Invalid(
            "Guests of a bridged network have their addresses from outside.",
            field=field,
            remedy="Leave it empty." if field == "ipv4_subnet" else "Leave it out.",
        )
    return Network.objects.create(project=project, host=host, name=label, mode=mode, ipv4_subnet="")


def _taken(host: Host, project: Project) -> list[subnets.Taken]:
    """All that a new subnet on the host may not share an address with."""
    return [*taken_networks(host), *public_networks(host), *_networks_on(host, project)]


def _networks_on(host: Host, project: Project) -> list[subnets.Taken]:
    """Subnets in use on the host. Another project's network is never named. One with a router of
    its own is where its host knows it."""
    rows = host.networks.exclude(ipv4_subnet="")
    return [
        (
            IPv4Network(transit or subnet),
            f"network “{name}” ({transit or subnet})"
            if owner == project.pk
            else "another network on this host",
        )
        for subnet, transit, name, owner in rows.values_list(
            "ipv4_subnet", "transit_subnet", "name", "project_id"
        )
    ]


def proposed_subnet(host: Host, project: Project) -> str:
    """What a new network on `host` would get if nobody typed a subnet."""
    return str(subnets.propose(_taken(host, project)))


def delete_network(actor: Actor, uuid: UUID | str) -> Network:
    """Remove a network that no VM uses, with its reservations and forwards."""
    with transaction.atomic():
        found = get_for(actor.user, Network, uuid, write=True)
        # All that could be its peers, so that none of them is missed that asks just now.
        near = Network.objects.filter(project=found.project_id, host=found.host_id)
        list(lock(near).order_by("pk"))
        network = locked(actor, uuid)
        _refuse_in_use(network)
        parted = Peering.objects.of(network).filter(present=True)
        for peering in parted.select_related("network", "peer"):
            part(actor, peering)
        network.refresh_from_db()
        network.present = False
        network.save(update_fields=["present"])
        job = request(actor, network, f"Delete network {network}")
        audit(actor, "network.delete", network, project=network.project, job=job.uuid)
    return network


def _refuse_in_use(network: Network) -> None:
    """Raise while VMs have addresses in the network, those in the recycle bin too."""
    used = network.reservations.filter(present=True, nic__isnull=False)
    if not (count := used.count()):
        return
    binned = used.filter(parked=True).count()
    raise Conflict(
        f"{count} VM{'s' if count > 1 else ''} still use network “{network}”"
        + (f", {binned} of them in the recycle bin." if binned else "."),
        code="network_in_use",
        remedy="Delete those VMs first, for good." if binned else "Delete those VMs first.",
    )


def check_network(actor: Actor, uuid: UUID | str) -> Job:
    """Have the host say what a repair would do to this network; nothing is changed."""
    with transaction.atomic():
        network = get_for(actor.user, Network, uuid, write=True)
        return check(actor, Network.kind, network.uuid, title=f"Check network {network}")


def repair_network(actor: Actor, uuid: UUID | str) -> Job:
    """Send the network to its host again: whatever differs there is put right."""
    with transaction.atomic():
        network = get_for(actor.user, Network, uuid, write=True)
        return repair(actor, Network.kind, network.uuid, title=f"Repair network {network}")
