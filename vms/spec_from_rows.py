"""Rows of one VM -> the spec for its host; and what the host answered or saw -> rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec
from django.conf import settings
from django.db import transaction

from kvmweb.core.locks import lock
from kvmweb.host.progress import Outcome
from kvmweb.hosts.facts import total_cpus
from kvmweb.hosts.models import Host
from kvmweb.jobs import notify
from kvmweb.jobs.subjects import Destination, Subject, SubjectKind
from networks.models import Ipv6, Network
from vms import snapshots
from vms.host.spec import DiskSource, DiskSpec, DriveSpec, ImageRef, NicSpec, SeedSpec, VmSpec
from vms.models import Disk, Image, Vm
from vms.tickets import image_url

MOST_LIVE_VCPUS = 16
POWER_STATES = frozenset({"running", "off", "paused", "crashed", "stopping", "saved"})


def destination(vm: Vm) -> Destination:
    return Destination(vm.host.name, vm.host.key)


def waits_for(vm: Vm) -> Iterable[tuple[Subject, int]]:
    """A VM is sent only after its networks have applied what gives it its addresses."""
    if not vm.present:
        return
    for nic in vm.nics.select_related("reservation__network__job"):
        yield nic.reservation.network, nic.reservation.since


def build_spec(vm: Vm) -> dict[str, Any]:
    """The newest generation of this VM as data."""
    spec = VmSpec(
        subject=str(vm.uuid),
        epoch=settings.KVMWEB_EPOCH,
        generation=vm.generation,
        present=vm.present,
        name=vm.name,
        domain=vm.domain,
        power=vm.power,  # type: ignore[arg-type]
        force=vm.force,
        boots=vm.boots,
        autostart=vm.autostart,
        accelerator=vm.host.accelerator,  # type: ignore[arg-type]
        vcpus=vm.vcpus,
        max_vcpus=_max_vcpus(vm),
        memory_mib=vm.memory_mib,
        disks=_disks(vm),
        nics=_nics(vm),
        seed=_seed(vm) if vm.image.speaks_cloud_init else None,
        snapshots=snapshots.specs(vm),
        back=snapshots.back_spec(vm),
        drive=_drive(vm),
        boot=_boot(vm),
    )
    return msgspec.to_builtins(spec)  # type: ignore[no-any-return]


def _seed(vm: Vm) -> SeedSpec:
    return SeedSpec(
        instance_id=str(vm.uuid),
        hostname=vm.name,
        ssh_keys=tuple(vm.ssh_keys),
        user=vm.login_user,
        password_hash=vm.password_hash,
        user_data=vm.user_data,
        macs=_macs_with_ipv6(vm),
    )


def _drive(vm: Vm) -> DriveSpec | None:
    inside = vm.rescue if vm.rescue and vm.rescue.is_iso else vm.iso
    return DriveSpec(image=_image(inside, vm) if inside else None) if vm.has_drive else None


def _boot(vm: Vm) -> tuple[str, ...]:
    """As people have set it, without what is no longer there; a rescue system goes first."""
    there = vm.bootable
    order = [name for name in vm.boot_order if name in there]
    if vm.rescue:
        first = "cdrom" if vm.rescue.is_iso else str(vm.rescue_disk)
        order = [first, *(name for name in order if name != first)]
    return tuple(order)


def _disks(vm: Vm) -> tuple[DiskSpec, ...]:
    """Its own, and last the one of a rescue system."""
    return (*_own_disks(vm), *_rescue_disk(vm))


def _rescue_disk(vm: Vm) -> Iterator[DiskSpec]:
    image = vm.rescue
    if image and not image.is_iso:
        yield DiskSpec(id=str(vm.rescue_disk), size_gib=image.min_disk_gib, image=_image(image, vm))


def _own_disks(vm: Vm) -> tuple[DiskSpec, ...]:
    return tuple(
        DiskSpec(
            id=str(disk.uuid),
            size_gib=disk.size_gib,
            image=_image(disk.image, vm) if disk.image else None,
            copy_of=_copy_of(disk, vm),
        )
        for disk in vm.disks.select_related("image", "copied_from__vm")
    )


def _copy_of(disk: Disk, vm: Vm) -> DiskSource | None:
    """What it begins as; once it is there, it is its own."""
    source = disk.copied_from
    if source is None or vm.applied_generation:
        return None
    return DiskSource(vm=str(source.vm.uuid), disk=str(source.uuid))


def _image(image: Image, vm: Vm) -> ImageRef:
    return ImageRef(
        id=str(image.uuid),
        name=image.name,
        sha256=image.sha256,
        size_bytes=image.size_bytes,
        source=image.source or image_url(image, vm.host),
    )


def _nics(vm: Vm) -> tuple[NicSpec, ...]:
    return tuple(
        NicSpec(
            id=str(nic.uuid),
            network=str(nic.reservation.network.uuid),
            bridge=_bridge(nic.reservation.network),
            uplink=_uplink(nic.reservation.network),
            tap=nic.reservation.port,
            mac=nic.reservation.mac,
        )
        for nic in vm.nics.present().select_related("reservation__network__attachment")
    )


def _max_vcpus(vm: Vm) -> int:
    """A guest may grow while it runs to what its host has; more than that many cost at boot."""
    return max(vm.vcpus, min(total_cpus(vm.host) or 0, MOST_LIVE_VCPUS))


def _macs_with_ipv6(vm: Vm) -> tuple[str, ...]:
    """Its MACs in the order of its NICs if one of its networks has IPv6, which guests have to be
    told how to use; without it they find their way as their image does."""
    taken = [nic.reservation for nic in vm.nics.select_related("reservation__network")]
    if all(each.network.ipv6 == Ipv6.OFF for each in taken):
        return ()
    return tuple(each.mac for each in taken)


def _bridge(network: Network) -> str:
    if network.attachment is None:
        return network.bridge
    return network.attachment.interface if network.attachment.is_filtered else ""


def _uplink(network: Network) -> str:
    """What a macvtap would be of."""
    if network.attachment is None or network.attachment.is_filtered:
        return ""
    return network.attachment.interface


def record(vm: Vm, outcome: Outcome) -> None:
    """Note what the host applied and saw."""
    if not vm.present and outcome.generation >= vm.generation:
        vm.delete()
        return
    vm.applied_generation = max(vm.applied_generation, outcome.generation)
    vm.attention = outcome.attention
    vm.restart_needed = bool(outcome.observed.get("restart_needed", vm.restart_needed))
    vm.boots_done = int(outcome.observed.get("boots", vm.boots_done))
    vm.save(update_fields=["applied_generation", "attention", "restart_needed", "boots_done"])
    if state := outcome.observed.get("state"):
        _note_power(vm, state, "")
    snapshots.note(vm, outcome)


def record_failure(vm: Vm, outcome: Outcome) -> None:
    """What was to happen once is not tried again by itself with the next change."""
    snapshots.note(vm, outcome)
    snapshots.give_up(vm, outcome)


def record_observed(host: Host, payload: Mapping[str, Any]) -> None:
    """What the host's monitor saw of its domains.

    A VM it does not mention is never deleted, only marked.
    """
    at = datetime.fromisoformat(payload["at"])
    seen = {entry["subject"]: entry for entry in payload["vms"]}
    rows = Vm.objects.filter(host=host)
    if not payload["complete"]:
        rows = rows.filter(uuid__in=list(seen))
    with transaction.atomic():
        for vm in lock(rows):
            entry = seen.get(str(vm.uuid))
            if vm.power_state_at is not None and vm.power_state_at > at:
                continue
            if entry is not None:
                _note_power(vm, entry["state"], entry.get("reason", ""), at=at)
            elif vm.applied_generation and vm.power_state not in ("", "off"):
                _note_power(vm, "off", "The domain is not defined on the host.", at=at)


def _note_power(vm: Vm, state: str, reason: str, *, at: datetime | None = None) -> None:
    if state not in POWER_STATES:
        return
    changed = vm.power_state != state
    vm.power_state, vm.power_reason = state, reason[:200]
    if at is not None:
        vm.power_state_at = at
    vm.save(update_fields=["power_state", "power_reason", "power_state_at"])
    if changed:
        notify.subject_changed(Vm.kind, vm.uuid, vm.project_id)


KIND = SubjectKind(
    model=Vm,
    worker="vm",
    task="vms.apply",
    destination=destination,
    build_spec=build_spec,
    record=record,
    record_failure=record_failure,
    waits_for=waits_for,
)
