"""Where the files of a VM lie on a host.

Folders may be entered but not listed by others (0711), files are root's alone (0600): libvirt gives
each to QEMU's user for as long as the guest runs (qemu.conf, `dynamic_ownership`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

FOLDER_MODE = 0o711
FILE_MODE = 0o600
SEED = "seed.iso"
SERIAL_LOG = "serial.log"
BACK = "back"
"""Notes how often the VM went back to a snapshot."""
FROZEN = "frozen"
"""There while the guest's file systems are frozen."""
_DISK_SUFFIX = ".qcow2"
_MEMORY_SUFFIX = ".mem"
_UNFINISHED = ".new"
_SNAPSHOT_PREFIX = "kvmweb-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The files of one VM, all in `folder`; its images are in `images`, shared with others."""

    folder: Path
    images: Path

    @property
    def seed(self) -> Path:
        return self.folder / SEED

    @property
    def serial_log(self) -> Path:
        return self.folder / SERIAL_LOG

    @property
    def back(self) -> Path:
        return self.folder / BACK

    @property
    def frozen(self) -> Path:
        return self.folder / FROZEN

    def disk(self, disk: str) -> Path:
        """The qcow2 file of the disk with this id."""
        return self.folder / f"{disk}{_DISK_SUFFIX}"

    def memory(self, snapshot: str) -> Path:
        """The guest's memory in the snapshot with this id."""
        return self.folder / f"{snapshot}{_MEMORY_SUFFIX}"

    def unfinished_memory(self, snapshot: str) -> Path:
        """The same while it is written."""
        return self.folder / f".{snapshot}{_MEMORY_SUFFIX}{_UNFINISHED}"

    def beside(self, subject: str) -> Layout:
        """The files of another VM of the same host."""
        return replace(self, folder=self.folder.parent / subject)

    def image(self, sha256: str) -> Path:
        """An image in the cache, found by its content."""
        return self.images / f"{sha256}{_DISK_SUFFIX}"


def disk_of(file: str) -> str:
    """The id of the disk whose file has this name; empty when it is no disk."""
    return file.removesuffix(_DISK_SUFFIX) if file.endswith(_DISK_SUFFIX) else ""


def snapshot_name(snapshot: str) -> str:
    """What the snapshot with this id is called inside each disk."""
    return f"{_SNAPSHOT_PREFIX}{snapshot}"


def snapshot_of(name: str) -> str:
    """The id of the snapshot that is called so inside a disk; empty when it is not ours."""
    return name.removeprefix(_SNAPSHOT_PREFIX) if name.startswith(_SNAPSHOT_PREFIX) else ""


def memory_of(file: str) -> str:
    """The id of the snapshot whose memory a file is, whole or not; empty when it is none."""
    name = file.removeprefix(".").removesuffix(_UNFINISHED)
    return name.removesuffix(_MEMORY_SUFFIX) if name.endswith(_MEMORY_SUFFIX) else ""
