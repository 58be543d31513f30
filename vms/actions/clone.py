"""Copies of VMs: disks as they are, with another name, address and identity."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from kvmweb.core.access import get_for
from kvmweb.core.errors import Conflict
from kvmweb.core.locks import lock
from kvmweb.core.text import parse_label
from kvmweb.hosts.models import Host
from kvmweb.jobs.dispatch import request
from kvmweb.projects.actions import Actor, audit
from kvmweb.projects.models import Project
from networks.actions import reserve
from networks.models import Network
from vms.actions.fitting import free_vm_name, refuse_size
from vms.actions.nics import free_name
from vms.actions.power import locked_vm
from vms.models import Disk, Nic, Vm

_COPIED = (
    "project",
    "host",
    "image",
    "flavour",
    "vcpus",
    "memory_mib",
    "autostart",
    "ssh_keys",
    "login_user",
    "password_hash",
    "user_data",
)


def clone_vm(actor: Actor, uuid: UUID | str, *, name: str, start: bool = True) -> Vm:
    """A VM with copies of this one's disks, on its networks under addresses of its own.

    The VM has to be off, and stays so until the copy is made. To cloud-init the copy is another
    machine: it makes host keys of its own and takes its name. Forwards lead to the first one still.
    """
    with transaction.atomic():
        seen = get_for(actor.user, Vm, uuid, write=True)
        lock(Project.objects.all()).get(pk=seen.project_id)
        lock(Host.objects.all()).get(pk=seen.host_id)
        networks = _networks(seen)
        source = locked_vm(actor, uuid)
        _refuse(source)
        label = free_vm_name(source.project, parse_label(name))
        clone = Vm.objects.create(
            name=label,
            power=Vm.Power.ON if start else Vm.Power.OFF,
            **{field: getattr(source, field) for field in _COPIED},
        )
        _copy_disks(source, clone)
        for network in networks:
            reservation = reserve(network, name=free_name(clone, network))
            Nic.objects.create(vm=clone, reservation=reservation)
        for network in {network.pk: network for network in networks}.values():
            request(actor, network, f"Change network {network}")
        job = request(actor, clone, f"Clone VM {source} as {clone}")
        audit(actor, "vm.clone", clone, project=clone.project, job=job.uuid, source=str(source))
    return clone


def _networks(vm: Vm) -> list[Network]:
    """Its networks, in the order of its NICs, under their locks; one may come twice."""
    nics = [nic.reservation.network_id for nic in vm.nics.present().select_related("reservation")]
    rows = {row.pk: row for row in lock(Network.objects.all()).filter(pk__in=nics).order_by("pk")}
    return [rows[pk] for pk in nics]


def _refuse(source: Vm) -> None:
    if source.is_busy or source.power_state not in {"off", "crashed"}:
        raise Conflict(
            f"VM “{source}” is not off, so its disks may be in the middle of a change.",
            code="not_off",
            remedy="Stop it first.",
        )
    if source.host.maintenance:
        raise Conflict("The host of this VM takes no new VMs now.", code="maintenance")
    refuse_size(source.host, source.vcpus, source.memory_mib, source.image)


def _copy_disks(source: Vm, clone: Vm) -> None:
    for disk in source.disks.all():
        Disk.objects.create(vm=clone, image=disk.image, size_gib=disk.size_gib, copied_from=disk)
