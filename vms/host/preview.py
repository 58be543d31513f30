"""What lies behind each operation of a VM's plan: its files, its definition, its process. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import ndiff
from typing import assert_never

from vms.host import cloud_init
from vms.host.ops import (
    AttachDevice,
    ChangeMedium,
    CopyDisk,
    CreateDisk,
    DefineDomain,
    DeleteDisk,
    DeleteFile,
    DeleteSeed,
    DestroyDomain,
    DetachDevice,
    DiscardSaved,
    DropSnapshot,
    FetchImage,
    GoBack,
    GrowDisk,
    GrowLiveDisk,
    NoteBack,
    Op,
    PauseDomain,
    RedefineDomain,
    RenameDomain,
    RestoreMemory,
    ResumeDomain,
    SaveDomain,
    SaveMemory,
    SetMemory,
    SetVcpus,
    ShutdownDomain,
    SnapshotDisks,
    SnapshotOp,
    StartDomain,
    ThawGuest,
    UndefineDomain,
    WriteSeed,
)
from vms.host.spec import VmSpec
from vms.host.state import VmState


def detail(op: Op, spec: VmSpec, state: VmState) -> tuple[str, ...]:
    """A line for each file, device or process that `op` makes, changes or takes away."""
    return tuple(_lines(op, spec, state))


def _lines(op: Op, spec: VmSpec, state: VmState) -> Iterator[str]:
    match op:
        case (
            FetchImage()
            | CreateDisk()
            | CopyDisk()
            | GrowDisk()
            | GrowLiveDisk()
            | WriteSeed()
            | DeleteDisk()
            | DeleteSeed()
            | DeleteFile()
        ):
            yield from _files(op, state)
        case (
            SnapshotDisks()
            | SaveMemory()
            | DropSnapshot()
            | GoBack()
            | RestoreMemory()
            | NoteBack()
            | ThawGuest()
        ):
            yield from _snapshot(op, state)
        case DefineDomain():
            yield f"definition: {spec.vcpus} vCPU, {spec.memory_mib} MiB"
            yield from _nics(spec)
        case RedefineDomain():
            yield from _difference(state.domain.xml if state.domain else "", op.xml)
        case StartDomain():
            yield f"process: QEMU of {op.name}"
            yield from _nics(spec)
        case (
            PauseDomain()
            | ResumeDomain()
            | ShutdownDomain()
            | DestroyDomain()
            | SetMemory()
            | SetVcpus()
        ):
            yield f"process: QEMU of {op.name}"
        case SaveDomain() | DiscardSaved():
            yield f"memory: of {op.name}, in libvirt's folder for saved guests"
        case AttachDevice() | DetachDevice() | ChangeMedium():
            yield from (line.strip() for line in op.xml.splitlines())
        case RenameDomain() | UndefineDomain():
            yield f"definition: {op.name}"
        case _:
            assert_never(op)


def _snapshot(op: SnapshotOp, state: VmState) -> Iterator[str]:
    layout = state.layout
    match op:
        case SnapshotDisks(plugged=plugged, loose=loose):
            yield from (f"snapshot: in {layout.folder / file}" for file in (*plugged, *loose))
        case DropSnapshot(id=id, plugged=plugged, loose=loose):
            yield from (f"snapshot: in {layout.folder / file}" for file in (*plugged, *loose))
            if layout.memory(id).name in state.files:
                yield f"file: {layout.memory(id)}"
        case SaveMemory(id=id) | RestoreMemory(snapshot=id):
            yield f"file: {layout.memory(id)}"
        case GoBack(disks=disks):
            yield from (f"file: {layout.disk(disk)}, to what it was then" for disk in disks)
        case NoteBack():
            yield f"file: {layout.back}"
        case ThawGuest():
            yield f"process: QEMU of {op.name}"
        case _:
            assert_never(op)


def _files(
    op: FetchImage
    | CreateDisk
    | CopyDisk
    | GrowDisk
    | GrowLiveDisk
    | WriteSeed
    | DeleteDisk
    | DeleteSeed
    | DeleteFile,
    state: VmState,
) -> Iterator[str]:
    layout = state.layout
    match op:
        case FetchImage(image=image):
            yield f"file: {layout.image(image.sha256)}"
            yield f"image: {image.name}"  # where it is from is a ticket, or an operator's path
        case CreateDisk(disk=disk) | CopyDisk(disk=disk):
            yield f"file: {layout.disk(disk.id)}"
            if disk.image:
                yield f"over: {layout.image(disk.image.sha256)}"
        case GrowDisk(disk=disk) | GrowLiveDisk(disk=disk):
            yield f"file: {layout.disk(disk.id)}"
        case WriteSeed(seed=seed):
            yield f"file: {layout.seed}"
            yield f"contains: {', '.join(cloud_init.documents(seed))}"
        case DeleteDisk():
            yield f"file: {layout.disk(op.id)}"
        case DeleteSeed():
            yield f"file: {layout.seed}"
        case DeleteFile():
            yield f"file: {layout.folder / op.file}"
        case _:
            assert_never(op)


def _nics(spec: VmSpec) -> Iterator[str]:
    for nic in spec.nics:
        yield f"guest port: {nic.tap} of bridge {nic.bridge}, MAC {nic.mac}"


def _difference(before: str, after: str) -> Iterator[str]:
    for line in ndiff(before.splitlines(), after.splitlines()):
        sign, text = line[:2], line[2:].strip()
        if sign in {"- ", "+ "} and text:
            yield f"{sign}{text}"
