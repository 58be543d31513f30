"""What people ask of networks, reservations and forwards.

Each action checks access, takes its locks in the order project, host, public address, network,
validates, writes rows, and asks for a job, in one transaction. Nothing here talks to a host.
"""

from __future__ import annotations

import secrets
from typing import TypeVar
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Model

from kvmweb.core.access import get_for
from kvmweb.core.errors import Conflict, Invalid, NotFound
from kvmweb.core.locks import lock
from kvmweb.core.text import parse_label
from kvmweb.hosts.facts import choose_host, taken_networks
from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.jobs.actions import check, repair
from kvmweb.jobs.dispatch import request
from kvmweb.jobs.models import Job
from kvmweb.projects.actions import Actor, audit, project_for
from kvmweb.projects.models import Project
from networks import ports, subnets
from networks.models import Forward, Network, Reservation

M = TypeVar("M", bound=Model)
P = TypeVar("P", Forward, Reservation)


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
            network.subnet,
            f"network “{network}” ({network.ipv4_subnet})"
            if network.project_id == project.pk
            else "another network on this host",
        )
        for network in host.networks.all()
    ]


def proposed_subnet(host: Host, project: Project) -> str:
    """What a new network on `host` would get if nobody typed a subnet."""
    return str(subnets.propose([*taken_networks(host), *_networks_on(host, project)]))


def rename_network(actor: Actor, uuid: UUID | str, *, name: str) -> Network:
    """Give a network another name; guests notice nothing."""
    with transaction.atomic():
        project = get_for(actor.user, Network, uuid, write=True).project_id
        lock(Project.objects.all()).get(pk=project)
        network = _locked(actor, uuid)
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
        network = _locked(actor, uuid)
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


def add_reservation(
    actor: Actor, *, network: UUID | str, name: str, address: str = "", mac: str = ""
) -> Reservation:
    """Fix a MAC and an address in a network. What is not given is picked."""
    with transaction.atomic():
        where = _locked(actor, _named(actor, Network, network, "network").uuid, field="network")
        reservation = reserve(where, name=name, address=address, mac=mac)
        job = request(actor, where, f"Reserve {reservation.address} for {reservation.name}")
        audit(actor, "reservation.create", reservation, project=where.project, job=job.uuid)
    return reservation


def reserve(network: Network, *, name: str, address: str = "", mac: str = "") -> Reservation:
    """The rows of a reservation, for an action that holds the network's lock and asks for its job
    itself.
    """
    label = parse_label(name)
    if network.reservations.filter(name=label, present=True).exists():
        raise Conflict(
            f"“{label}” has an address in this network already.", field="name", code="name_taken"
        )
    taken = set(network.reservations.values_list("address", flat=True))
    if address.strip():
        chosen = str(subnets.parse_address(address, network.subnet))
        if chosen in taken:
            raise Conflict(f"{chosen} is taken.", field="address", code="address_taken")
    else:
        chosen = str(subnets.free_address(network.subnet, taken))
    return _insert_reservation(network, label, chosen, mac)


def _insert_reservation(network: Network, name: str, address: str, mac: str) -> Reservation:
    try:
        with transaction.atomic():
            return Reservation.objects.create(
                network=network,
                name=name,
                address=address,
                mac=subnets.parse_mac(mac) if mac else _new_mac(),
                since=network.generation + 1,
            )
    except IntegrityError as error:
        raise Conflict("This MAC address is in use.", field="mac", code="mac_taken") from error


def _new_mac() -> str:
    """A random MAC under QEMU's prefix that no reservation has."""
    while True:
        mac = "52:54:00:" + secrets.token_bytes(3).hex(":")
        if not Reservation.objects.filter(mac=mac).exists():
            return mac


def delete_reservation(actor: Actor, uuid: UUID | str) -> Reservation:
    """Give up an address that no VM uses, and the forwards that lead to it."""
    with transaction.atomic():
        reservation = get_for(actor.user, Reservation, uuid, write=True)
        network = _locked(actor, reservation.network.uuid)
        reservation = _still_present(reservation)
        if getattr(reservation, "nic", None) is not None:
            raise Conflict(
                f"{reservation.address} belongs to VM “{reservation.name}”.",
                code="reservation_in_use",
                remedy="Delete the VM first.",
            )
        release(reservation, network)
        job = request(actor, network, f"Release {reservation.address}")
        audit(actor, "reservation.delete", reservation, project=network.project, job=job.uuid)
    return reservation


def release(reservation: Reservation, network: Network) -> None:
    """Mark a reservation and its forwards as going; `network` is its own, locked, and its job is
    asked for afterwards.
    """
    generation = network.generation + 1
    reservation.forwards.filter(present=True).update(present=False, since=generation)
    Reservation.objects.filter(pk=reservation.pk).update(present=False, since=generation)


def add_forward(
    actor: Actor,
    *,
    reservation: UUID | str,
    target_port: int,
    protocol: str = Forward.Protocol.TCP,
    public_port: int | None = None,
    public_address: UUID | str | None = None,
    note: str = "",
) -> Forward:
    """Open a public port to a reservation. Without `public_port` a free one is picked."""
    with transaction.atomic():
        target = _named(actor, Reservation, reservation, "reservation")
        public = lock_public_address(target.network.host, public_address)
        network = _locked(actor, target.network.uuid)
        target = Reservation.objects.get(pk=target.pk)
        forward = open_port(
            network,
            target,
            public,
            protocol=protocol,
            public_port=public_port,
            target_port=target_port,
            note=note,
        )
        job = request(actor, network, f"Forward {forward}")
        audit(actor, "forward.create", forward, project=network.project, job=job.uuid)
    return forward


def lock_public_address(host: Host, uuid: UUID | str | None) -> PublicAddress:
    """The public address to forward from, locked: the one asked for, or the host's default."""
    addresses = lock(PublicAddress.objects.all()).filter(host=host)
    wanted = addresses.filter(uuid=uuid) if uuid else addresses.filter(is_default=True)
    found = wanted.select_related("host").first()
    if found is None:
        raise Invalid(
            "There is no such public address on this network's host.",
            field="public_address",
            remedy="Leave it empty for the host's own.",
        )
    return found


def open_port(
    network: Network,
    reservation: Reservation,
    public: PublicAddress,
    *,
    protocol: str,
    public_port: int | None,
    target_port: int,
    note: str = "",
) -> Forward:
    """The rows of a forward, for an action that holds the locks and asks for the network's job
    itself.
    """
    if network.mode == Network.Mode.ISOLATED:
        raise Conflict(
            f"Network “{network}” is isolated: nothing reaches it from outside.",
            field="reservation",
            code="network_isolated",
        )
    if not reservation.present:
        raise Conflict("This address is being released.", field="reservation", code="deleting")
    if protocol not in Forward.Protocol.values:
        raise Invalid("Use tcp, udp or tcp+udp.", field="protocol")
    if not 1 <= target_port <= 65535:
        raise Invalid("A port is a number from 1 to 65535.", field="target_port")
    protocols = protocol.split("+")
    if public_port is None:
        public_port = ports.pick(public, protocols)
    else:
        ports.refuse_unusable(public, protocols, public_port)
    forward = Forward.objects.create(
        network=network,
        reservation=reservation,
        public_address=public,
        protocol=protocol,
        public_port=public_port,
        target_port=target_port,
        note=note[:200],
        since=network.generation + 1,
    )
    ports.claim(forward)
    return forward


def change_forward(
    actor: Actor, uuid: UUID | str, *, target_port: int | None = None, note: str | None = None
) -> Forward:
    """Lead a forward to another port of its VM, or change its note. The public port stays."""
    with transaction.atomic():
        forward = get_for(actor.user, Forward, uuid, write=True)
        network = _locked(actor, forward.network.uuid)
        forward = _still_present(forward)
        if note is not None:
            forward.note = note[:200]
        if target_port is not None:
            if not 1 <= target_port <= 65535:
                raise Invalid("A port is a number from 1 to 65535.", field="target_port")
            forward.target_port = target_port
            forward.since = network.generation + 1
        forward.save()
        job = request(actor, network, f"Change forward {forward}")
        audit(actor, "forward.change", forward, project=network.project, job=job.uuid)
    return forward


def delete_forward(actor: Actor, uuid: UUID | str) -> Forward:
    """Close a public port. It stays claimed until the host has let go of it."""
    with transaction.atomic():
        forward = get_for(actor.user, Forward, uuid, write=True)
        network = _locked(actor, forward.network.uuid)
        forward = _still_present(forward)
        forward.present = False
        forward.since = network.generation + 1
        forward.save(update_fields=["present", "since"])
        job = request(actor, network, f"Remove forward {forward}")
        audit(actor, "forward.delete", forward, project=network.project, job=job.uuid)
    return forward


def _named(actor: Actor, model: type[M], uuid: UUID | str, field: str) -> M:
    """What a request names in its field `field`, if the actor may change it."""
    try:
        return get_for(actor.user, model, uuid, write=True)
    except NotFound as error:
        raise Invalid(error.message, field=field, code=f"no_such_{field}") from error


def _still_present(part: P) -> P:
    """`part` as it is now that its network's lock is held, unless it is going already."""
    current = type(part)._default_manager.filter(pk=part.pk, present=True).first()
    if current is None:
        raise Conflict(f"This {part._meta.verbose_name} is being removed.", code="deleting")
    return current


def _locked(actor: Actor, uuid: UUID | str, *, field: str = "") -> Network:
    """The network under its lock, if the actor may change it and it is not being deleted."""
    network = get_for(actor.user, Network, uuid, write=True, lock=True)
    if not network.present:
        raise Conflict(f"Network “{network}” is being deleted.", field=field, code="deleting")
    return network
