"""The recycle bin: a deleted VM is off and unreachable, but keeps its disks, addresses and ports
until its time there is over, and can be taken back with everything.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from kvmweb.core.access import get_for
from kvmweb.core.errors import Conflict
from kvmweb.core.locks import lock
from kvmweb.jobs.dispatch import request
from kvmweb.projects.actions import Actor, audit
from networks.actions import park
from networks.models import Network
from vms.actions.power import hurry, locked_vm
from vms.actions.vms import delete_vm, purge, what_goes
from vms.models import Vm


def bin_vm(actor: Actor, uuid: UUID | str) -> Vm:
    """Cut a VM off and put it into the bin; where there is no bin (no days), delete it.

    One that is saved to disk stays saved.
    """
    if settings.KVMWEB_BIN_DAYS == 0:
        return delete_vm(actor, uuid)
    with transaction.atomic():
        networks = locked_networks(actor, uuid)
        vm = locked_vm(actor, uuid)
        vm.goes_at = timezone.now() + timedelta(days=settings.KVMWEB_BIN_DAYS)
        saved = vm.power_state == "saved" and not vm.is_busy
        vm.power, vm.force = (Vm.Power.SAVED, False) if saved else (Vm.Power.OFF, True)
        vm.save(update_fields=["goes_at", "power", "force"])
        _park(actor, vm, networks, f"Close what leads to {vm}", parked=True)
        job = request(actor, vm, f"Put VM {vm} into the bin")
        hurry(vm)
        audit(actor, "vm.bin", vm, project=vm.project, job=job.uuid, **what_goes(vm))
    return vm


def restore_vm(actor: Actor, uuid: UUID | str) -> Vm:
    """Take a VM back from the bin, with its forwards and host names; it is off, or saved."""
    with transaction.atomic():
        networks = locked_networks(actor, uuid)
        vm = _locked_in_bin(actor, uuid)
        vm.goes_at, vm.force = None, False
        vm.save(update_fields=["goes_at", "force"])
        _park(actor, vm, networks, f"Open again what leads to {vm}", parked=False)
        job = request(actor, vm, f"Take VM {vm} back")
        audit(actor, "vm.restore", vm, project=vm.project, job=job.uuid)
    return vm


def delete_now(actor: Actor, uuid: UUID | str) -> Vm:
    """Delete a VM that is in the bin for good, before its time there is over."""
    with transaction.atomic():
        networks = locked_networks(actor, uuid)
        return purge(actor, _locked_in_bin(actor, uuid), networks)


def due() -> list[int]:
    """The numbers of VMs whose time in the bin is over."""
    rows = Vm.objects.filter(present=True, goes_at__lte=timezone.now()).order_by("goes_at")
    return list(rows.values_list("pk", flat=True))


def empty_bin_of(pk: int) -> None:
    """Delete a VM whose time in the bin is over; one that was taken back meanwhile stays."""
    with transaction.atomic():
        networks = _locked_networks_of(pk)
        vm = lock(Vm.objects.all()).get(pk=pk)
        if vm.present and vm.goes_at is not None and vm.goes_at <= timezone.now():
            purge(None, vm, networks)


def locked_networks(actor: Actor, uuid: UUID | str) -> dict[int, Network]:
    """The VM's networks under their locks, which come before the VM's own, by their number."""
    return _locked_networks_of(get_for(actor.user, Vm, uuid, write=True).pk)


def _locked_networks_of(pk: int) -> dict[int, Network]:
    rows = lock(Network.objects.all()).filter(reservations__nic__vm=pk)
    return {network.pk: network for network in rows.order_by("pk")}


def _locked_in_bin(actor: Actor, uuid: UUID | str) -> Vm:
    vm = get_for(actor.user, Vm, uuid, write=True, lock=True)
    if not vm.present:
        raise Conflict(f"VM “{vm}” is being deleted.", code="deleting")
    if vm.goes_at is None:
        raise Conflict(f"VM “{vm}” is not in the bin.", code="not_in_bin")
    return vm


def _park(actor: Actor, vm: Vm, networks: dict[int, Network], title: str, *, parked: bool) -> None:
    for nic in vm.nics.select_related("reservation"):
        park(nic.reservation, networks[nic.reservation.network_id], parked=parked)
    for network in networks.values():
        request(actor, network, title)
