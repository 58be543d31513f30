"""NICs of a VM: each has an address of its network, reserved before the host plugs it."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from kvmweb.core.access import get_for
from kvmweb.core.errors import Conflict, Invalid, NotFound
from kvmweb.core.locks import lock
from kvmweb.jobs.dispatch import request
from kvmweb.projects.actions import Actor, audit
from networks.actions import release, reserve
from networks.models import Forward, HostName, Network
from vms.actions.power import locked_vm, settle
from vms.models import Nic, Vm

MOST_NICS = 8


def add_nic(actor: Actor, uuid: UUID | str, *, network: UUID | str) -> Vm:
    """One more NIC, on a network of the VM's project and host; plugged at once where it can be."""
    with transaction.atomic():
        get_for(actor.user, Vm, uuid, write=True)
        found = _network(actor, network)
        vm = locked_vm(actor, uuid)
        settle(vm)
        _refuse_unfit(vm, found)
        reservation = reserve(found, name=free_name(vm, found))
        Nic.objects.create(vm=vm, reservation=reservation)
        request(actor, found, f"Change network {found}")
        job = request(actor, vm, f"Add a NIC to VM {vm}")
        audit(actor, "vm.add_nic", vm, project=vm.project, job=job.uuid, network=str(found))
    return vm


def remove_nic(actor: Actor, uuid: UUID | str, *, nic: UUID | str) -> Vm:
    """Take a NIC away, with its address and all that leads to it."""
    with transaction.atomic():
        network = _network_of(get_for(actor.user, Vm, uuid, write=True), nic)
        vm = locked_vm(actor, uuid)
        settle(vm)
        found = _nic(vm, nic)
        goes = _goes(found)
        release(found.reservation, network)
        request(actor, network, f"Release an address of {vm}")
        job = request(actor, vm, f"Remove a NIC of VM {vm}")
        audit(actor, "vm.remove_nic", vm, project=vm.project, job=job.uuid, **goes)
    return vm


def _network(actor: Actor, uuid: UUID | str) -> Network:
    try:
        found = get_for(actor.user, Network, uuid, write=True, lock=True)
    except NotFound as error:
        raise Invalid(
            "There is no such network.", field="network", code="no_such_network"
        ) from error
    if not found.present:
        raise Conflict(f"Network “{found}” is being deleted.", field="network", code="deleting")
    return found


def _refuse_unfit(vm: Vm, network: Network) -> None:
    if network.project_id != vm.project_id:
        raise Invalid("This network belongs to another project.", field="network")
    if network.host_id != vm.host_id:
        raise Invalid("This network is on another host.", field="network")
    if vm.nics.count() >= MOST_NICS:
        raise Conflict(f"A VM has at most {MOST_NICS} NICs.", code="too_many_nics")


def free_name(vm: Vm, network: Network) -> str:
    """The VM's name, or with a number where its network has it already."""
    taken = set(network.reservations.filter(present=True).values_list("name", flat=True))
    numbered = (f"{vm.name[:60]}-{number}" for number in range(2, MOST_NICS + len(taken) + 2))
    return next(name for name in (vm.name, *numbered) if name not in taken)


def _nic(vm: Vm, uuid: UUID | str) -> Nic:
    nics = vm.nics.filter(reservation__present=True).select_related("reservation")
    found = next((nic for nic in nics if str(nic.uuid) == str(uuid)), None)
    if found is None:
        raise Invalid("This VM has no such NIC.", field="nic", code="no_such_nic")
    return found


def _network_of(vm: Vm, nic: UUID | str) -> Network:
    """The NIC's network under its lock, which comes before the VM's."""
    pk = _nic(vm, nic).reservation.network_id
    return lock(Network.objects.all()).get(pk=pk)


def _goes(nic: Nic) -> dict[str, object]:
    leads = {"reservation": nic.reservation, "present": True}
    return {
        "address": nic.reservation.address,
        "forwards": Forward.objects.filter(**leads).count(),
        "host_names": HostName.objects.filter(**leads).count(),
    }
