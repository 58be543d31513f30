"""What people ask of VMs: the same shape as `networks.actions`, which does the network part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from django.db import transaction
from django.db.models import Sum

from kvmweb.core.access import get_for
from kvmweb.core.errors import Conflict, Invalid, NotFound
from kvmweb.core.locks import lock
from kvmweb.core.text import parse_label
from kvmweb.hosts.facts import choose_host
from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.jobs.actions import check, repair
from kvmweb.jobs.dispatch import request
from kvmweb.jobs.models import Job
from kvmweb.projects.actions import Actor, audit, project_for
from kvmweb.projects.models import Project
from networks.actions import (
    change_reservation,
    lock_public_address,
    new_network,
    open_port,
    release,
    reserve,
)
from networks.models import Forward, HostName, Network, Reservation
from vms.actions.fitting import chosen_image, free_vm_name, refuse_size
from vms.actions.flavours import chosen_flavour
from vms.actions.keys import chosen_keys
from vms.actions.nics import MOST_NICS, free_name
from vms.actions.power import hurry, locked_vm, settle
from vms.guest import parse_login, parse_user_data, password_hash
from vms.models import Disk, Flavour, Image, Nic, Vm

LARGEST_DISK_GIB = 16_384
# In one request, whose transaction keeps everybody else's changes waiting.
MOST_FORWARDS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNetwork:
    """A network to be made together with a VM."""

    name: str
    ipv4_subnet: str = ""
    mode: str = Network.Mode.NAT
    own_router: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NewForward:
    """A forward to be made together with a VM. Without `public_port` a free one is picked; a block
    of `ports` leads to the same ports without `target_port`.
    """

    target_port: int | None = None
    protocol: str = Forward.Protocol.TCP
    public_port: int | None = None
    ports: int = 1
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVm:
    """All that is asked for with a new VM. `network` is a network's UUID or one to be made.

    `more_networks` are those of further NICs. A `flavour` goes before the numbers beside it. `keys`
    are those that the actor keeps, `ssh_keys` others; `login_user` is another name for the image's
    own user. Of the password nothing but its hash is kept.
    """

    name: str
    network: UUID | str | NewNetwork
    image: UUID | str
    more_networks: Sequence[UUID | str] = ()
    flavour: UUID | str | None = None
    vcpus: int = 1
    memory_mib: int = 512
    disk_gib: int | None = None
    ssh_keys: Sequence[str] = ()
    keys: Sequence[UUID | str] = ()
    login_user: str = ""
    password: str = field(default="", repr=False)
    user_data: str = ""
    forwards: Sequence[NewForward] = field(default_factory=tuple)
    public_address: UUID | str | None = None
    project: UUID | str | None = None
    host: UUID | str | None = None


def create_vm(actor: Actor, wanted: NewVm) -> Vm:
    """A VM with its address, disk and forwards, on an existing network or one made with it."""
    with transaction.atomic():
        owner = lock(Project.objects.all()).get(pk=_owner(actor, wanted).pk)
        image = chosen_image(actor, wanted.image, owner)
        host = lock(Host.objects.all()).get(pk=_host_for(actor, wanted).pk)
        flavour = chosen_flavour(actor, wanted.flavour, owner, needed=True)
        wanted = _sized(wanted, flavour, image)
        label = _refuse_unfit(wanted, owner, host, image)
        public = lock_public_address(host, wanted.public_address) if wanted.forwards else None
        more = _more_networks(actor, wanted, owner, host)
        network = _network(actor, wanted, owner, host)
        vm = _insert(actor, wanted, label, network, image, flavour)
        reservation = reserve(network, name=label)
        Nic.objects.create(vm=vm, reservation=reservation)
        _add_nics(vm, network, more)
        for index, forward in enumerate(wanted.forwards):
            _open(network, vm, public, forward, index)
        created = network.generation == 0
        request(actor, network, f"{'Create' if created else 'Change'} network {network}")
        for another in {each.pk: each for each in more if each.pk != network.pk}.values():
            request(actor, another, f"Change network {another}")
        job = request(actor, vm, f"Create VM {vm}")
        if created:
            audit(actor, "network.create", network, project=owner, job=job.uuid)
        audit(actor, "vm.create", vm, project=owner, job=job.uuid, image=str(image))
    return vm


def _owner(actor: Actor, wanted: NewVm) -> Project:
    if isinstance(wanted.network, NewNetwork) or wanted.project is not None:
        return project_for(actor, wanted.project)
    return _existing_network(actor, wanted.network).project


def _host_for(actor: Actor, wanted: NewVm) -> Host:
    if isinstance(wanted.network, NewNetwork):
        return choose_host(uuid=wanted.host)
    host = _existing_network(actor, wanted.network).host
    if host.maintenance:
        raise Conflict(
            "The host of this network takes no new VMs now.",
            field="network",
            code="maintenance",
            remedy="Choose a network on another host, or try later.",
        )
    if wanted.host is not None and str(wanted.host) != str(host.uuid):
        raise Invalid("This network is on another host.", field="host")
    return host


def _existing_network(
    actor: Actor, uuid: UUID | str, *, lock: bool = False, field: str = "network"
) -> Network:
    try:
        return get_for(actor.user, Network, uuid, write=True, lock=lock)
    except NotFound as error:
        raise Invalid("There is no such network.", field=field, code="no_such_network") from error


def _network(actor: Actor, wanted: NewVm, owner: Project, host: Host) -> Network:
    if isinstance(wanted.network, NewNetwork):
        return _made_with_it(wanted.network, owner, host)
    network = _existing_network(actor, wanted.network, lock=True)
    if not network.present:
        raise Conflict(f"Network “{network}” is being deleted.", field="network", code="deleting")
    if network.project_id != owner.pk:
        raise Invalid("This network belongs to another project.", field="network")
    return network


def _more_networks(actor: Actor, wanted: NewVm, owner: Project, host: Host) -> list[Network]:
    """Those of its further NICs, locked together with the first one's in the order of their ids."""
    if len(wanted.more_networks) >= MOST_NICS:
        raise Invalid(f"A VM has at most {MOST_NICS} NICs.", field="more_networks")
    first = [] if isinstance(wanted.network, NewNetwork) else [wanted.network]
    found = [
        _existing_network(actor, uuid, field=field)
        for field, uuids in (("more_networks", wanted.more_networks), ("network", first))
        for uuid in uuids
    ]
    rows = lock(Network.objects.all()).filter(pk__in=[each.pk for each in found]).order_by("pk")
    locked = {row.pk: row for row in rows}
    more = [locked[each.pk] for each in found if each.pk in locked][: len(wanted.more_networks)]
    for network in more:
        if not network.present or network.project_id != owner.pk or network.host_id != host.pk:
            raise Invalid(
                f"Network “{network}” is not of this project and host.", field="more_networks"
            )
    return more


def _add_nics(vm: Vm, first: Network, more: list[Network]) -> None:
    for network in more:
        # The same row, so that what the first NIC changed of it is not undone.
        one = first if network.pk == first.pk else network
        reservation = reserve(one, name=free_name(vm, one))
        Nic.objects.create(vm=vm, reservation=reservation)


def _made_with_it(wanted: NewNetwork, owner: Project, host: Host) -> Network:
    try:
        return new_network(
            owner,
            host,
            name=wanted.name,
            mode=wanted.mode,
            ipv4_subnet=wanted.ipv4_subnet,
            own_router=wanted.own_router,
        )
    except (Invalid, Conflict) as error:
        error.field = f"network.{error.field}" if error.field else "network"
        raise


def _refuse_unfit(wanted: NewVm, owner: Project, host: Host, image: Image) -> str:
    label = free_vm_name(owner, parse_label(wanted.name))
    refuse_size(host, wanted.vcpus, wanted.memory_mib, image)
    if len(wanted.forwards) > MOST_FORWARDS:
        raise Invalid(
            f"A VM is made with at most {MOST_FORWARDS} forwards.",
            field="forwards",
            remedy="Add the others afterwards.",
        )
    if wanted.disk_gib is not None:
        _refuse_disk(wanted.disk_gib, image)
    if not image.speaks_cloud_init:
        _refuse_first_boot(wanted, image)
    return label


def _refuse_first_boot(wanted: NewVm, image: Image) -> None:
    """What only cloud-init would do."""
    for name in ("ssh_keys", "keys", "user_data", "login_user", "password"):
        if getattr(wanted, name):
            raise Invalid(
                f"Image {image} does not speak cloud-init: it would ignore keys, user, password "
                "and user-data.",
                field=name,
                code="no_cloud_init",
                remedy="Leave them out, or choose another image.",
            )


def _refuse_disk(disk_gib: int, image: Image) -> None:
    if not image.min_disk_gib <= disk_gib <= LARGEST_DISK_GIB:
        raise Invalid(
            f"A disk of image {image} has {image.min_disk_gib} to {LARGEST_DISK_GIB} GiB.",
            field="disk_gib",
        )


def _sized(wanted: NewVm, flavour: Flavour | None, image: Image) -> NewVm:
    """With the numbers of the flavour, if there is one."""
    if flavour is None:
        return wanted
    return replace(
        wanted,
        vcpus=flavour.vcpus,
        memory_mib=flavour.memory_mib,
        disk_gib=max(flavour.disk_gib, image.min_disk_gib),
    )


def _insert(
    actor: Actor,
    wanted: NewVm,
    label: str,
    network: Network,
    image: Image,
    flavour: Flavour | None,
) -> Vm:
    vm = Vm.objects.create(
        project=network.project,
        host=network.host,
        name=label,
        image=image,
        flavour=flavour,
        vcpus=wanted.vcpus,
        memory_mib=wanted.memory_mib,
        ssh_keys=chosen_keys(actor, wanted.keys, wanted.ssh_keys),
        login_user=parse_login(wanted.login_user),
        password_hash=password_hash(wanted.password),
        user_data=parse_user_data(wanted.user_data),
    )
    Disk.objects.create(vm=vm, image=image, size_gib=wanted.disk_gib or image.min_disk_gib)
    return vm


def _open(
    network: Network, vm: Vm, public: PublicAddress | None, wanted: NewForward, index: int
) -> Forward:
    assert public is not None  # noqa: S101  locked above whenever a forward is asked for
    try:
        return open_port(
            network,
            vm.nics.all()[0].reservation,
            public,
            protocol=wanted.protocol,
            public_port=wanted.public_port,
            target_port=wanted.target_port,
            ports=wanted.ports,
            note=wanted.note,
        )
    except (Invalid, Conflict) as error:
        ours = error.field in ("protocol", "public_port", "target_port", "ports", "note")
        error.field = f"forwards.{index}.{error.field}" if ours else f"forwards.{index}"
        raise


def change_vm(
    actor: Actor,
    uuid: UUID | str,
    *,
    vcpus: int | None = None,
    memory_mib: int | None = None,
    flavour: UUID | str | None = None,
    autostart: bool | None = None,
    name: str | None = None,
) -> Vm:
    """Another name or size, or whether it comes back after its host was off.

    A flavour goes before the numbers, and enlarges the first disk where it has a larger one.

    The names in its networks change at once; a running guest keeps its size and its own host name
    until it is next started.
    """
    with transaction.atomic():
        renamed = _rename_reservations(actor, uuid, name)
        vm = locked_vm(actor, uuid)
        settle(vm)
        before = {name: getattr(vm, name) for name in ("name", "vcpus", "memory_mib", "autostart")}
        _resize(actor, vm, vcpus, memory_mib, flavour)
        vm.autostart = vm.autostart if autostart is None else autostart
        refuse_size(vm.host, vm.vcpus, vm.memory_mib, vm.image)
        if renamed:
            vm.name = free_vm_name(vm.project, renamed, vm)
        vm.save(update_fields=[*before, "flavour"])
        job = request(actor, vm, f"Change VM {vm}")
        audit(actor, "vm.change", vm, project=vm.project, job=job.uuid, before=before)
    return vm


def _resize(
    actor: Actor,
    vm: Vm,
    vcpus: int | None,
    memory_mib: int | None,
    flavour: UUID | str | None,
) -> None:
    wanted = (
        vm.vcpus if vcpus is None else vcpus,
        vm.memory_mib if memory_mib is None else memory_mib,
    )
    free = wanted != (vm.vcpus, vm.memory_mib)
    found = chosen_flavour(actor, flavour, vm.project, needed=free)
    if found is None:
        vm.flavour = None if free else vm.flavour
        vm.vcpus, vm.memory_mib = wanted
        return
    vm.flavour, vm.vcpus, vm.memory_mib = found, found.vcpus, found.memory_mib
    first = vm.disks.first()
    if first is not None and first.size_gib < found.disk_gib:
        first.size_gib = found.disk_gib
        first.save(update_fields=["size_gib"])


def _rename_reservations(actor: Actor, uuid: UUID | str, name: str | None) -> str:
    """Rename those that carry the VM's name; returns the new one, empty when it stays.

    Before the VM is locked, because networks come first.
    """
    vm = get_for(actor.user, Vm, uuid, write=True)
    if name is None or parse_label(name) == vm.name:
        return ""
    label = parse_label(name)
    reservations = Reservation.objects.filter(nic__vm=vm, name=vm.name, present=True)
    for reservation in reservations.order_by("network_id"):
        change_reservation(actor, reservation.uuid, name=label)
    return label


def delete_vm(actor: Actor, uuid: UUID | str) -> Vm:
    """Remove a VM with its disks, addresses and forwards, past the recycle bin."""
    with transaction.atomic():
        vm = get_for(actor.user, Vm, uuid, write=True)
        rows = lock(Network.objects.all()).filter(reservations__nic__vm=vm)
        networks = {network.pk: network for network in rows.order_by("pk")}
        return purge(actor, locked_vm(actor, uuid, in_bin=True), networks)


def purge(actor: Actor | None, vm: Vm, networks: dict[int, Network]) -> Vm:
    """Have a VM go for good; it and its networks are locked by the caller."""
    goes = what_goes(vm)
    vm.present = False
    vm.save(update_fields=["present"])
    for nic in vm.nics.select_related("reservation__network"):
        release(nic.reservation, networks[nic.reservation.network_id])
    for network in networks.values():
        request(actor, network, f"Release the address of {vm}")
    job = request(actor, vm, f"Delete VM {vm}")
    hurry(vm)
    audit(actor, "vm.delete", vm, project=vm.project, job=job.uuid, **goes)
    return vm


def what_goes(vm: Vm) -> dict[str, int]:
    """What deleting this VM removes, to be said before it is done."""
    disks = vm.disks.aggregate(total=Sum("size_gib"))
    forwards = Forward.objects.filter(reservation__nic__vm=vm, present=True).count()
    names = HostName.objects.filter(reservation__nic__vm=vm, present=True).count()
    return {
        "disks": vm.disks.count(),
        "disk_gib": disks["total"] or 0,
        "forwards": forwards,
        "host_names": names,
    }


def check_vm(actor: Actor, uuid: UUID | str) -> Job:
    """Have the host say what a repair would do to this VM; nothing is changed."""
    with transaction.atomic():
        vm = get_for(actor.user, Vm, uuid, write=True)
        return check(actor, Vm.kind, vm.uuid, title=f"Check VM {vm}")


def repair_vm(actor: Actor, uuid: UUID | str) -> Job:
    """Send the VM to its host again: whatever differs there is put right."""
    with transaction.atomic():
        vm = get_for(actor.user, Vm, uuid, write=True)
        return repair(actor, Vm.kind, vm.uuid, title=f"Repair VM {vm}")
