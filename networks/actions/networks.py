"""What people ask of networks."""

from __future__ import annotations

from ipaddress import IPv4Network
from uuid import UUID

from django.db import transaction

from kvmweb.core.access import get_for
from kvmweb.core.errors import Conflict, Invalid
from kvmweb.core.locks import lock
from kvmweb.core.text import parse_label
from kvmweb.hosts.facts import choose_host, taken_networks
from kvmweb.hosts.models import Host
from kvmweb.jobs.actions import check, repair
from kvmweb.jobs.dispatch import request
from kvmweb.jobs.models import Job
from kvmweb.projects.actions import Actor, audit, project_for
from kvmweb.projects.models import Project
from networks import subnets
from networks.actions.lookup import locked
from networks.models import Network


def create_network(
    actor: Actor,
    *,
    name: str,
    mode: str = Network.Mode.NAT,
    ipv4_subnet: str = "",
    project: UUID | str | None = None,
    host: UUID | str | None = None,
) -> Network:
    """A new private network; without a subnet it gets a free one. Its `job` builds it."""
    with transaction.atomic():
        owner = lock(Project.objects.all()).get(pk=project_for(actor, project).pk)
        where = lock(Host.objects.all()).get(pk=choose_host(uuid=host).pk)
        network = new_network(owner, where, name=name, mode=mode, ipv4_subnet=ipv4_subnet)
        job = request(actor, network, f"Create network {network}")
        audit(
            actor,
            "network.create",
            network,
            project=owner,
            job=job.uuid,
            subnet=network.ipv4_subnet,
        )
    return network


def new_network(project: Project, host: Host, *, name: str, mode: str, ipv4_subnet: str) -> Network:
    """The row of a network, for an action that holds both locks and asks for its job itself."""
    if mode not in Network.Mode.values:
        modes = ", ".join(Network.Mode.values)
        raise Invalid(f"There is no such mode. Use one of: {modes}.", field="mode")
    label = parse_label(name)
    if project.networks.filter(name=label, present=True).exists():
        raise Conflict(
            f"There is a network “{label}” in this project.", field="name", code="name_taken"
        )
    taken = [*taken_networks(host), *_networks_on(host, project)]
    if ipv4_subnet.strip():
        subnet = subnets.parse_subnet(ipv4_subnet)
        subnets.refuse_overlap(subnet, taken)
    else:
        subnet = subnets.propose(taken)
    source = host.public_addresses.filter(is_default=True).first()
    return Network.objects.create(
        project=project,
        host=host,
        name=label,
        mode=mode,
        ipv4_subnet=str(subnet),
        source_address=source if mode == Network.Mode.NAT else None,
    )


def _networks_on(host: Host, project: Project) -> list[subnets.Taken]:
    """Subnets in use on the host. Another project's network is never named."""
    return [
        (
            IPv4Network(subnet),
            f"network “{name}” ({subnet})"
            if owner == project.pk
            else "another network on this host",
        )
        for subnet, name, owner in host.networks.values_list("ipv4_subnet", "name", "project_id")
    ]


def proposed_subnet(host: Host, project: Project) -> str:
    """What a new network on `host` would get if nobody typed a subnet."""
    return str(subnets.propose([*taken_networks(host), *_networks_on(host, project)]))


def rename_network(actor: Actor, uuid: UUID | str, *, name: str) -> Network:
    """Give a network another name; guests notice nothing."""
    with transaction.atomic():
        project = get_for(actor.user, Network, uuid, write=True).project_id
        lock(Project.objects.all()).get(pk=project)
        network = locked(actor, uuid)
        label = parse_label(name)
        others = Network.objects.filter(project=network.project, name=label, present=True)
        if others.exclude(pk=network.pk).exists():
            raise Conflict(
                f"There is a network “{label}” in this project.", field="name", code="name_taken"
            )
        before, network.name = network.name, label
        network.save(update_fields=["name"])
        job = request(actor, network, f"Rename network {before} to {label}")
        audit(
            actor, "network.rename", network, project=network.project, job=job.uuid, before=before
        )
    return network


def delete_network(actor: Actor, uuid: UUID | str) -> Network:
    """Remove a network that no VM uses, with its reservations and forwards."""
    with transaction.atomic():
        network = locked(actor, uuid)
        if in_use := network.reservations.filter(present=True, nic__isnull=False).count():
            raise Conflict(
                f"{in_use} VM{'s' if in_use > 1 else ''} still use network “{network}”.",
                code="network_in_use",
                remedy="Delete those VMs first.",
            )
        network.present = False
        network.save(update_fields=["present"])
        job = request(actor, network, f"Delete network {network}")
        audit(actor, "network.delete", network, project=network.project, job=job.uuid)
    return network


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
