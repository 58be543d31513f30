"""From what a VM should be and what is to the operations that make it so. Pure.

A running guest is never disturbed by a change of its size, disks or NICs: the persistent definition
is changed, what the guest can take at once is tried (`vms.host.live`), and the rest comes when it
next starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kvmweb.core.errors import HostError
from vms.host import cloud_init, domain_xml, snapshots
from vms.host.layout import SEED, SERIAL_LOG, disk_of
from vms.host.live import live_ops
from vms.host.ops import (
    CopyDisk,
    CreateDisk,
    DefineDomain,
    DeleteDisk,
    DeleteFile,
    DeleteSeed,
    DestroyDomain,
    DiscardSaved,
    FetchImage,
    GrowDisk,
    GrowLiveDisk,
    LiveOp,
    Op,
    PauseDomain,
    RedefineDomain,
    RenameDomain,
    ResumeDomain,
    SaveDomain,
    ShutdownDomain,
    StartDomain,
    UndefineDomain,
    WriteSeed,
)
from vms.host.spec import DiskSpec, ImageRef, RunsUnder, VmSpec
from vms.host.state import VmState

GIB = 1 << 30


class CannotShrink(HostError):
    """A disk is larger than the spec says; cutting it would destroy what is in it."""

    code = "disk_cannot_shrink"


class DiskMissing(HostError):
    """The domain has a disk whose file is gone; an empty one in its place would hide that."""

    code = "disk_missing"


def plan(spec: VmSpec, state: VmState) -> tuple[Op, ...]:
    """The operations that turn `state` into `spec`, in order; none when it is so already.

    Raises CannotShrink.
    """
    return tuple(_present(spec, state) if spec.present else _absent(spec, state))


def unfinished(spec: VmSpec, state: VmState) -> tuple[Op, ...]:
    """What must not be left to do after a plan was carried out."""
    return tuple(op for op in plan(spec, state) if not isinstance(op, LiveOp))


def restart_needed(spec: VmSpec, state: VmState) -> bool:
    """Whether the guest runs with something else than the spec says until it is started anew."""
    if state.domain is None or not state.domain.live_xml:
        return False
    live = state.domain.live_xml
    return domain_xml.name_of(live) != spec.domain or not domain_xml.satisfies(
        live, spec, state.layout, runs_under(spec, state)
    )


def runs_under(spec: VmSpec, state: VmState) -> RunsUnder:
    """The accelerator this VM is to use."""
    return state.accelerator if spec.accelerator == "auto" else spec.accelerator


def _present(spec: VmSpec, state: VmState) -> Iterator[Op]:
    yield from snapshots.thawed(spec, state)
    yield from snapshots.dropped(spec, state)
    yield from snapshots.taken(spec, state)
    back = snapshots.due(spec, state)
    if back:
        yield from snapshots.going_back(spec, back, state)
        state = snapshots.gone_back(back, state)
    yield from _fetches(spec, state)
    ends = _ends(spec, state)
    if ends:
        yield from _power_off(spec, state)
    elif spec.power == "saved" and state.is_active:
        yield SaveDomain(name=spec.domain)
    stays_active = state.keeps_memory and not ends
    to_memory = back if back and back.memory else None
    yield from _disks(spec, state, active=stays_active or to_memory is not None)
    if spec.seed and state.seed != cloud_init.digest(spec.seed):
        yield WriteSeed(seed=spec.seed)
    yield from _definition(spec, state, active=stays_active)
    if state.is_active and stays_active and spec.power in {"on", "paused"} and state.domain:
        yield from live_ops(state.domain.live_xml, spec, state.layout)
    if not stays_active:
        yield from _unwanted_files(spec, state)
    if to_memory:
        yield from snapshots.resumed(spec, to_memory, state)
    elif spec.power in {"on", "paused"}:
        yield from _power_on(spec, state, ends=ends)


def _ends(spec: VmSpec, state: VmState) -> bool:
    """Whether the guest that is under way is to end: for good, or to be started afresh."""
    if state.power == "saved":
        return spec.power == "off" and spec.force
    return state.is_active and (spec.power == "off" or is_outdated(spec, state))


def is_outdated(spec: VmSpec, state: VmState) -> bool:
    """Whether the running guest was started before somebody asked for a fresh start."""
    live = state.domain.live_xml if state.domain else ""
    return bool(live) and spec.power == "on" and domain_xml.boots(live) < spec.boots


def images_of(spec: VmSpec) -> Iterator[ImageRef]:
    """What it needs in the cache."""
    yield from (disk.image for disk in spec.disks if disk.image)
    if spec.drive and spec.drive.image:
        yield spec.drive.image


def _fetches(spec: VmSpec, state: VmState) -> Iterator[Op]:
    """Before anything else, so that no guest is off while an image is copied."""
    fetched = set(state.images)
    for disk in spec.disks:
        if state.layout.disk(disk.id).name in state.files:
            continue
        _refuse_if_lost(disk, state)
        if disk.image and disk.image.sha256 not in fetched:
            fetched.add(disk.image.sha256)
            yield FetchImage(image=disk.image)
    if spec.drive and spec.drive.image and spec.drive.image.sha256 not in fetched:
        yield FetchImage(image=spec.drive.image)


def _disks(spec: VmSpec, state: VmState, *, active: bool) -> Iterator[Op]:
    for disk in spec.disks:
        size = state.files.get(state.layout.disk(disk.id).name)
        if size is not None:
            yield from _resized(disk, size, state, active=active)
            continue
        yield CopyDisk(disk=disk) if disk.copy_of else CreateDisk(disk=disk)


def _refuse_if_lost(disk: DiskSpec, state: VmState) -> None:
    file = str(state.layout.disk(disk.id))
    if state.domain and file in domain_xml.disk_files(state.domain.xml or state.domain.live_xml):
        raise DiskMissing(
            f"The file of a disk is gone from the host: {file}.",
            remedy="Restore it from a backup, or delete the VM and make it anew.",
        )


def _resized(disk: DiskSpec, size: int, state: VmState, *, active: bool) -> Iterator[Op]:
    if size > disk.size_gib * GIB:
        raise CannotShrink(
            f"The disk has {size / GIB:g} GiB and cannot be made smaller without losing data.",
            remedy=f"Set its size to {-(-size // GIB)} GiB or more.",
        )
    if size == disk.size_gib * GIB:
        return
    if not active:
        yield GrowDisk(disk=disk)
    elif state.is_active and state.domain and _is_plugged(disk, state.domain.live_xml, state):
        yield GrowLiveDisk(disk=disk)


def _is_plugged(disk: DiskSpec, live_xml: str, state: VmState) -> bool:
    return str(state.layout.disk(disk.id)) in domain_xml.disk_files(live_xml)


def _definition(spec: VmSpec, state: VmState, *, active: bool) -> Iterator[Op]:
    accelerator = runs_under(spec, state)
    if state.domain is None or not state.domain.xml:
        yield DefineDomain(name=spec.domain, xml=domain_xml.build(spec, state.layout, accelerator))
        return
    before = domain_xml.name_of(state.domain.xml)
    if before != spec.domain and not active:
        yield RenameDomain(name=spec.domain, before=before)
    definition = state.domain.xml if active else domain_xml.renamed(state.domain.xml, spec.domain)
    xml = domain_xml.merge(definition, spec, state.layout, accelerator)
    if not domain_xml.same(xml, definition):
        yield RedefineDomain(name=spec.domain, xml=xml, at_next_start=active)


def _power_on(spec: VmSpec, state: VmState, *, ends: bool) -> Iterator[Op]:
    running = state.is_active and not ends
    if not running:
        yield StartDomain(name=spec.domain, restored=state.power == "saved" and not ends)
    paused = running and state.power == "paused"
    if spec.power == "paused" and not paused:
        yield PauseDomain(name=spec.domain)
    elif spec.power == "on" and paused:
        yield ResumeDomain(name=spec.domain)


def _power_off(spec: VmSpec, state: VmState) -> Iterator[Op]:
    if state.power == "saved":
        yield DiscardSaved(name=spec.domain)
        return
    if spec.force:
        yield DestroyDomain(name=spec.domain)
        return
    if state.power == "paused":
        yield ResumeDomain(name=spec.domain)
    yield ShutdownDomain(name=spec.domain)


def _absent(spec: VmSpec, state: VmState) -> Iterator[Op]:
    name = spec.domain
    if state.is_active:
        yield DestroyDomain(name=name)
    if state.domain is not None:
        yield UndefineDomain(name=name)
    yield from _deletions(sorted(state.files))


def _unwanted_files(spec: VmSpec, state: VmState) -> Iterator[Op]:
    wanted = {state.layout.disk(disk.id).name for disk in spec.disks}
    unwanted = (file for file in sorted(state.files) if file not in wanted)
    kept = (SEED,) if spec.seed else ()
    yield from _deletions(
        file
        for file in unwanted
        if file not in kept and not file.startswith(SERIAL_LOG) and not snapshots.own_file(file)
    )


def _deletions(files: Iterable[str]) -> Iterator[Op]:
    for file in files:
        if file == SEED:
            yield DeleteSeed()
        elif disk := disk_of(file):
            yield DeleteDisk(id=disk)
        else:
            yield DeleteFile(file=file)
