"""What a VM on a host should be: plain, frozen, complete data, like `networks.host.spec`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Power = Literal["on", "off", "paused", "saved"]
Accelerator = Literal["auto", "kvm", "tcg"]
RunsUnder = Literal["kvm", "tcg"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRef:
    """An image by its content.

    `source` is where the host fetches it from once: an absolute path or an http(s) URL.
    """

    id: str
    name: str
    sha256: str
    size_bytes: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSource:
    """A disk of a VM on the same host: as it was in a snapshot, which stays until the copy is made;
    or, without one, as it is, which is for a VM that is off until then."""

    vm: str
    disk: str
    snapshot: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSpec:
    """A qcow2 disk of `size_gib` GiB: an overlay of `image`, or empty.

    One that is a `copy_of` another begins with what that has; its `image` is that one's, or none
    for a copy that stands on nothing.
    """

    id: str
    size_gib: int
    image: ImageRef | None = None
    copy_of: DiskSource | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveSpec:
    """A CD drive with this ISO in it, which is kept as a qcow2 like any image; or empty."""

    image: ImageRef | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NicSpec:
    """A NIC on a bridge, one of ours or of the host's owner; `tap` is its guest port and comes from
    `kvmweb.core.names`. With an `uplink` it is a macvtap of that instead, of the same name."""

    id: str
    network: str
    bridge: str
    tap: str
    mac: str
    uplink: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedSpec:
    """The NoCloud seed (cloud-init, datasource NoCloud).

    `user` is another name for the image's own user. `password_hash` is crypt(5), never the
    password. `macs` are those of NICs that get their addresses from networks of ours, where one of
    these has IPv6; empty leaves them to the image.
    """

    instance_id: str
    hostname: str
    ssh_keys: tuple[str, ...] = ()
    password_hash: str = ""
    user: str = ""
    user_data: str = ""
    macs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSpec:
    """A snapshot of these disks and, of a guest that runs, its `memory`.

    One that is known to have been `taken` is never taken anew, whatever became of it.
    """

    id: str
    name: str
    disks: tuple[str, ...]
    memory: bool = False
    taken: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BackSpec:
    """The `count`th time that a VM goes back: to a snapshot's disks, and to its `memory` or not."""

    count: int
    snapshot: str
    name: str
    disks: tuple[str, ...]
    memory: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VmSpec:
    """All of one VM on one host.

    `domain` is its libvirt name, readable and unique on the host; `subject` is the libvirt UUID
    too. With `power="off"` a running guest is asked by ACPI; `force` pulls the plug instead.
    `accelerator="auto"` takes what the host found by trying.

    A guest may be given up to `max_vcpus` while it runs; 0 is no more than `vcpus`.

    `boot` names disks and NICs by their ids, and the drive as "cdrom", in the order they are tried;
    without any, a definition keeps the order it has.

    `boots` counts how often people asked for a fresh start. A guest carries the count it was
    started with; one with a lower count is stopped (as `force` says) and started, once. Without
    `autostart` a guest that was on stays off when its host starts anew.
    """

    subject: str
    epoch: int
    generation: int
    present: bool = True
    name: str = ""
    domain: str
    power: Power = "on"
    force: bool = False
    boots: int = 0
    autostart: bool = True
    accelerator: Accelerator = "auto"
    vcpus: int = 1
    max_vcpus: int = 0
    memory_mib: int = 128
    disks: tuple[DiskSpec, ...] = ()
    nics: tuple[NicSpec, ...] = ()
    seed: SeedSpec | None = None
    snapshots: tuple[SnapshotSpec, ...] = ()
    back: BackSpec | None = None
    drive: DriveSpec | None = None
    boot: tuple[str, ...] = ()
