"""From what a VM should be and what is to the operations that make it so. Pure.

A running guest is never disturbed by a change of its size, disks or NICs: only the persistent
definition is changed, and the guest gets it when it next starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from kvmweb.core.errors import HostError
from vms.host import cloud_init, domain_xml
from vms.host.layout import SEED, SERIAL_LOG, Layout, disk_of
from vms.host.spec import DiskSpec, ImageRef, RunsUnder, SeedSpec, VmSpec

PowerState = Literal["running", "off", "paused", "crashed", "stopping"]
GIB = 1 << 30
_ACTIVE = frozenset({"running", "paused", "stopping"})


class CannotShrink(HostError):
    """A disk is larger than the spec says; cutting it would destroy what is in it."""

    code = "disk_cannot_shrink"


class DiskMissing(HostError):
    """The domain has a disk whose file is gone; an empty one in its place would hide that."""

    code = "disk_missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainState:
    """A domain as libvirt has it. `xml` is the persistent definition, empty when there is none.

    `live_xml` is what runs now, empty when it is off.
    """

    state: PowerState
    reason: str = ""
    xml: str = ""
    live_xml: str = ""

    @property
    def is_active(self) -> bool:
        return self.state in _ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class VmState:
    """What there is of one VM on this host.

    `files` holds the size in bytes of all in its folder by name (a disk's is its virtual size),
    `seed` the digest of what is on the seed, `images` the sha256 of those already in the cache.
    `accelerator` is what guests run under when the spec leaves it to the host.
    """

    layout: Layout
    accelerator: RunsUnder
    domain: DomainState | None = None
    files: dict[str, int] = field(default_factory=dict)
    seed: str = ""
    images: frozenset[str] = frozenset()

    @property
    def power(self) -> PowerState:
        return self.domain.state if self.domain else "off"

    @property
    def is_active(self) -> bool:
        return self.domain is not None and self.domain.is_active


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
class GrowDisk:
    """Only for a guest that is off."""

    disk: DiskSpec

    @property
    def sentence(self) -> str:
        return f"Enlarged a disk to {self.disk.size_gib} GiB"


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
        return f"Defined {self.name}"


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
    name: str

    @property
    def sentence(self) -> str:
        return f"Started {self.name}"


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


Op = (
    FetchImage
    | CreateDisk
    | GrowDisk
    | WriteSeed
    | DefineDomain
    | RedefineDomain
    | StartDomain
    | ResumeDomain
    | ShutdownDomain
    | DestroyDomain
    | UndefineDomain
    | DeleteDisk
    | DeleteSeed
    | DeleteFile
)


def plan(spec: VmSpec, state: VmState) -> tuple[Op, ...]:
    """The operations that turn `state` into `spec`, in order; none when it is so already.

    Raises CannotShrink.
    """
    return tuple(_present(spec, state) if spec.present else _absent(spec, state))


def restart_needed(spec: VmSpec, state: VmState) -> bool:
    """Whether the guest runs with something else than the spec says until it is started anew."""
    if state.domain is None or not state.domain.live_xml:
        return False
    return not domain_xml.satisfies(
        state.domain.live_xml, spec, state.layout, runs_under(spec, state)
    )


def runs_under(spec: VmSpec, state: VmState) -> RunsUnder:
    """The accelerator this VM is to use."""
    return state.accelerator if spec.accelerator == "auto" else spec.accelerator


def _present(spec: VmSpec, state: VmState) -> Iterator[Op]:
    if spec.power == "off":
        yield from _power_off(spec, state)
    stays_active = state.is_active and spec.power == "on"
    yield from _disks(spec, state, active=stays_active)
    if spec.seed and state.seed != cloud_init.digest(spec.seed):
        yield WriteSeed(seed=spec.seed)
    yield from _definition(spec, state, active=stays_active)
    if not stays_active:
        yield from _unwanted_files(spec, state)
    if spec.power == "on":
        yield from _power_on(spec, state)


def _disks(spec: VmSpec, state: VmState, *, active: bool) -> Iterator[Op]:
    fetched = set(state.images)
    for disk in spec.disks:
        size = state.files.get(state.layout.disk(disk.id).name)
        if size is not None:
            yield from _resized(disk, size, active=active)
            continue
        _refuse_if_lost(disk, state)
        if disk.image and disk.image.sha256 not in fetched:
            fetched.add(disk.image.sha256)
            yield FetchImage(image=disk.image)
        yield CreateDisk(disk=disk)


def _refuse_if_lost(disk: DiskSpec, state: VmState) -> None:
    file = str(state.layout.disk(disk.id))
    if state.domain and file in domain_xml.disk_files(state.domain.xml or state.domain.live_xml):
        raise DiskMissing(
            f"The file of a disk is gone from the host: {file}.",
            remedy="Restore it from a backup, or delete the VM and make it anew.",
        )


def _resized(disk: DiskSpec, size: int, *, active: bool) -> Iterator[Op]:
    if size > disk.size_gib * GIB:
        raise CannotShrink(
            f"The disk has {size / GIB:g} GiB and cannot be made smaller without losing data.",
            remedy=f"Set its size to {-(-size // GIB)} GiB or more.",
        )
    if size < disk.size_gib * GIB and not active:
        yield GrowDisk(disk=disk)


def _definition(spec: VmSpec, state: VmState, *, active: bool) -> Iterator[Op]:
    accelerator = runs_under(spec, state)
    if state.domain is None or not state.domain.xml:
        yield DefineDomain(name=spec.domain, xml=domain_xml.build(spec, state.layout, accelerator))
        return
    xml = domain_xml.merge(state.domain.xml, spec, state.layout, accelerator)
    if not domain_xml.same(xml, state.domain.xml):
        yield RedefineDomain(name=spec.domain, xml=xml, at_next_start=active)


def _power_on(spec: VmSpec, state: VmState) -> Iterator[Op]:
    if state.power == "paused":
        yield ResumeDomain(name=spec.domain)
    elif not state.is_active:
        yield StartDomain(name=spec.domain)


def _power_off(spec: VmSpec, state: VmState) -> Iterator[Op]:
    if not state.is_active:
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
        file for file in unwanted if file not in kept and not file.startswith(SERIAL_LOG)
    )


def _deletions(files: Iterable[str]) -> Iterator[Op]:
    for file in files:
        if file == SEED:
            yield DeleteSeed()
        elif disk := disk_of(file):
            yield DeleteDisk(id=disk)
        else:
            yield DeleteFile(file=file)
