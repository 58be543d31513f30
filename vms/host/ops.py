"""The commands a plan is made of. Each says in a sentence, for people, what it did."""

from __future__ import annotations

from dataclasses import dataclass

from vms.host.layout import SERIAL_LOG
from vms.host.spec import DiskSpec, ImageRef, SeedSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchImage:
    image: ImageRef

    @property
    def sentence(self) -> str:
        return f"Copied image {self.image.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateDisk:
    disk: DiskSpec

    @property
    def sentence(self) -> str:
        return f"Created a disk of {self.disk.size_gib} GiB"


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyDisk:
    """From a disk of another VM, or from a snapshot of one."""

    disk: DiskSpec

    @property
    def sentence(self) -> str:
        return f"Copied a disk of {self.disk.size_gib} GiB"


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowDisk:
    """Only for a guest that is off."""

    disk: DiskSpec

    @property
    def sentence(self) -> str:
        return f"Enlarged a disk to {self.disk.size_gib} GiB"


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowLiveDisk:
    """Of a guest that runs; it sees the new size at once."""

    disk: DiskSpec

    @property
    def sentence(self) -> str:
        return f"Enlarged a disk of the running guest to {self.disk.size_gib} GiB"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachDevice:
    name: str
    xml: str

    @property
    def sentence(self) -> str:
        return f"Plugged {_device(self.xml)} into the running {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DetachDevice:
    """The guest has to let go of it."""

    name: str
    xml: str

    @property
    def sentence(self) -> str:
        return f"Took {_device(self.xml)} from the running {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeMedium:
    """Of a drive, also one that the guest has locked."""

    name: str
    xml: str

    @property
    def sentence(self) -> str:
        did = "Put an ISO into" if "<source" in self.xml else "Emptied"
        return f"{did} the drive of the running {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMemory:
    """By the balloon, up to what the guest was started with."""

    name: str
    memory_mib: int

    @property
    def sentence(self) -> str:
        return f"Gave the running {self.name} {self.memory_mib} MiB of memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetVcpus:
    name: str
    vcpus: int

    @property
    def sentence(self) -> str:
        return f"Gave the running {self.name} {self.vcpus} virtual CPUs"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteSeed:
    seed: SeedSpec

    @property
    def sentence(self) -> str:
        return "Wrote name, keys and start-up data for the guest"


@dataclass(frozen=True, slots=True, kw_only=True)
class DefineDomain:
    name: str
    xml: str

    @property
    def sentence(self) -> str:
        return f"Described the machine to libvirt as {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedefineDomain:
    name: str
    xml: str
    at_next_start: bool

    @property
    def sentence(self) -> str:
        when = "; takes effect when it next starts" if self.at_next_start else ""
        return f"Changed the definition of {self.name}{when}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartDomain:
    """With `restored`, from the memory that lies on disk."""

    name: str
    restored: bool = False

    @property
    def sentence(self) -> str:
        return f"Restored {self.name} from disk" if self.restored else f"Started {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseDomain:
    name: str

    @property
    def sentence(self) -> str:
        return f"Paused {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveDomain:
    """Write its memory to disk and end it (libvirt's managed save)."""

    name: str

    @property
    def sentence(self) -> str:
        return f"Saved {self.name} to disk"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscardSaved:
    name: str

    @property
    def sentence(self) -> str:
        return f"Dropped the saved memory of {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeDomain:
    name: str

    @property
    def sentence(self) -> str:
        return f"Resumed {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShutdownDomain:
    """Ask by the ACPI power button, then wait."""

    name: str

    @property
    def sentence(self) -> str:
        return f"Shut down {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DestroyDomain:
    name: str

    @property
    def sentence(self) -> str:
        return f"Forced {self.name} off"


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameDomain:
    """Only for a guest that is off, and not saved: libvirt renames no other."""

    name: str
    before: str

    @property
    def sentence(self) -> str:
        return f"Renamed {self.before} to {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UndefineDomain:
    name: str

    @property
    def sentence(self) -> str:
        return f"Removed the definition of {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteDisk:
    id: str

    @property
    def sentence(self) -> str:
        return "Deleted a disk"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteSeed:
    @property
    def sentence(self) -> str:
        return "Deleted the start-up data"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteFile:
    """A log, or what an interrupted copy left behind."""

    file: str

    @property
    def sentence(self) -> str:
        return "Deleted logs" if self.file.startswith(SERIAL_LOG) else "Deleted a left-over file"


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotDisks:
    """All at one moment: `plugged` are the files that a running guest has, `loose` the others.

    With `memory` that of the guest, which stands still, is to follow.
    """

    id: str
    name: str
    plugged: tuple[str, ...] = ()
    loose: tuple[str, ...] = ()
    memory: bool = False

    @property
    def sentence(self) -> str:
        count = len(self.plugged) + len(self.loose)
        return f"Took snapshot “{self.name}” of {'the disk' if count == 1 else f'{count} disks'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveMemory:
    """Of a guest that stands still since its disks were taken."""

    id: str
    name: str

    @property
    def sentence(self) -> str:
        return f"Wrote the guest's memory to snapshot “{self.name}”"


@dataclass(frozen=True, slots=True, kw_only=True)
class DropSnapshot:
    """What there is of it, in files as in `SnapshotDisks`, and its memory."""

    id: str
    plugged: tuple[str, ...] = ()
    loose: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        return "Deleted a snapshot"


@dataclass(frozen=True, slots=True, kw_only=True)
class GoBack:
    """Only for a guest that is off."""

    snapshot: str
    name: str
    disks: tuple[str, ...]

    @property
    def sentence(self) -> str:
        return f"Brought the disks back to snapshot “{self.name}”"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreMemory:
    """Let the guest go on as it was in a snapshot, under the name it had then; `boots` is the count
    of fresh starts that it is to carry."""

    snapshot: str
    name: str
    boots: int

    @property
    def sentence(self) -> str:
        return f"{self.name} goes on from the memory of the snapshot"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteBack:
    count: int

    @property
    def sentence(self) -> str:
        return "Noted that the VM went back"


@dataclass(frozen=True, slots=True, kw_only=True)
class ThawGuest:
    name: str

    @property
    def sentence(self) -> str:
        return f"Let {self.name} write to its file systems again"


SnapshotOp = (
    SnapshotDisks | SaveMemory | DropSnapshot | GoBack | RestoreMemory | NoteBack | ThawGuest
)
PowerOp = (
    StartDomain
    | PauseDomain
    | ResumeDomain
    | SaveDomain
    | DiscardSaved
    | ShutdownDomain
    | DestroyDomain
)
LiveOp = AttachDevice | DetachDevice | ChangeMedium | SetMemory | SetVcpus
"""Tried on a running guest; what fails takes effect at its next start."""
FileOp = (
    FetchImage
    | CreateDisk
    | CopyDisk
    | GrowDisk
    | GrowLiveDisk
    | WriteSeed
    | DeleteDisk
    | DeleteSeed
    | DeleteFile
)
StrictOp = (
    FileOp | SnapshotOp | DefineDomain | RedefineDomain | RenameDomain | UndefineDomain | PowerOp
)
Op = StrictOp | LiveOp


def _device(xml: str) -> str:
    return "a NIC" if xml.startswith("<interface") else "a disk"
