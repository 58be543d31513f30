"""Snapshots of a VM on the disk: internal ones in its files, and its memory beside them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from kvmweb.core.errors import HostError
from kvmweb.host.files import flush_folder, write_durably
from vms.host import domain_xml
from vms.host.drivers import qcow2
from vms.host.drivers.domains import Domains
from vms.host.drivers.volumes import QemuImgFailed, delete_file, qemu_img, space
from vms.host.layout import FILE_MODE, Layout, snapshot_name
from vms.host.ops import DropSnapshot, GoBack, RestoreMemory, SaveMemory, SnapshotDisks

_SECONDS = 1800
"""For what walks all of a large disk's tables."""


def there(layout: Layout) -> dict[str, dict[str, int]]:
    """By file, the internal snapshots with what the guest saw of it then."""
    found = {}
    with suppress(FileNotFoundError):
        for path in layout.folder.glob("*.qcow2"):
            with suppress(FileNotFoundError, qcow2.NotQcow2):
                found[path.name] = {each.name: each.size for each in qcow2.snapshots(path)}
    return found


def backs(layout: Layout) -> int:
    """How often the VM went back."""
    try:
        text = layout.back.read_text()
    except FileNotFoundError:
        return 0
    return int(text) if text.isdecimal() else 0


def note_back(layout: Layout, count: int) -> None:
    write_durably(layout.back, str(count).encode())


def take_disks(
    op: SnapshotDisks, subject: str, layout: Layout, domains: Domains, *, frozen: bool
) -> None:
    """Of all disks; with `frozen` the guest's file systems are flushed for that moment."""
    name = snapshot_name(op.id)
    with space(layout.folder):
        if op.memory:
            write_durably(layout.unfinished_memory(op.id), b"")
        for file in op.loose:
            _qemu_img("-c", name, layout.folder / file)
        if not op.plugged:
            return
        if frozen:
            _freeze(subject, layout, domains)
        try:
            files = [str(layout.folder / file) for file in op.plugged]
            domains.snapshot_disks(subject, files, name)
        finally:
            if frozen:
                thaw(subject, layout, domains)


def _freeze(subject: str, layout: Layout, domains: Domains) -> None:
    """A guest that does not answer is taken as after a power cut."""
    write_durably(layout.frozen, b"")
    with suppress(HostError):
        domains.freeze(subject)


def thaw(subject: str, layout: Layout, domains: Domains) -> None:
    """Also of one that may not be frozen."""
    with suppress(HostError):
        domains.thaw(subject)
    delete_file(layout.frozen)


def take_memory(op: SaveMemory, subject: str, layout: Layout, domains: Domains) -> None:
    """Of a guest that is paused."""
    fresh = layout.unfinished_memory(op.id)
    with space(layout.folder):
        domains.save_memory(subject, str(fresh))
        fresh.chmod(FILE_MODE)
        fresh.replace(layout.memory(op.id))
        flush_folder(layout.folder)


def drop(op: DropSnapshot, subject: str, layout: Layout, domains: Domains) -> None:
    """Its memory first: without that what is left is still whole."""
    delete_file(layout.memory(op.id))
    for file in op.plugged:
        domains.drop_disk_snapshot(subject, str(layout.folder / file), snapshot_name(op.id))
    for file in op.loose:
        _drop_loose(layout.folder / file, snapshot_name(op.id))
    delete_file(layout.unfinished_memory(op.id))


def _drop_loose(path: Path, name: str) -> None:
    try:
        _qemu_img("-d", name, path)
    except QemuImgFailed:
        if any(each.name == name for each in qcow2.snapshots(path)):
            raise


def _qemu_img(what: str, name: str, path: Path) -> None:
    """`qemu-img snapshot` has no option for the format and would probe it, but for this."""
    file = str(path).replace(",", ",,")
    options = ("--image-opts", f"driver=qcow2,file.driver=file,file.filename={file}")
    qemu_img("snapshot", "-q", what, name, *options, seconds=_SECONDS)


def go_back(op: GoBack, layout: Layout) -> None:
    """Of a guest that is off."""
    with space(layout.folder):
        for disk in op.disks:
            _qemu_img("-a", snapshot_name(op.snapshot), layout.disk(disk))


def restore_memory(op: RestoreMemory, subject: str, layout: Layout, domains: Domains) -> None:
    domains.restore_memory(subject, str(layout.memory(op.snapshot)), boots=op.boots)


def may_freeze(live_xml: str, power: str) -> bool:
    """Whether the guest can be asked to flush its file systems."""
    return power == "running" and bool(live_xml) and domain_xml.has_agent(live_xml)
