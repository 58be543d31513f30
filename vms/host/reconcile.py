"""Bring a VM to what its spec says: observe, plan, apply, observe again.

Killed at any point, it is finished by running it again. One VM is worked on by one process at a
time, held by flock(2).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from kvmweb.core.errors import HostBusy, HostError, KvmwebError, NotConverged
from kvmweb.host.config import HostPaths
from kvmweb.host.files import locked
from kvmweb.host.progress import OVERTAKEN, Outcome, Report, Step
from kvmweb.host.store import SpecStore
from vms.host import check as specs
from vms.host import hurry
from vms.host.domain_xml import boots
from vms.host.drivers import cache, copies, images, seed, snapshots, space, volumes
from vms.host.drivers.domains import MEMORY_SECONDS, Domains
from vms.host.drivers.failures import CannotStart
from vms.host.layout import Layout, disk_of, memory_of
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
    LiveOp,
    NoteBack,
    Op,
    PauseDomain,
    PowerOp,
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
    StrictOp,
    ThawGuest,
    UndefineDomain,
    WriteSeed,
)
from vms.host.patience import telling
from vms.host.plan import GIB, images_of, plan, restart_needed, unfinished
from vms.host.preview import detail
from vms.host.snapshots import foreign, has_disks
from vms.host.spec import DiskSpec, ImageRef, RunsUnder, VmSpec
from vms.host.state import VmState

# What images that no VM stands on may take together.
CACHE_BYTES = 20 << 30
STOP_SECONDS = 60.0
_PRESS_AGAIN_SECONDS = 4.0
_POLL_SECONDS = 0.1
_FOLLOW_SECONDS = 10.0


class DidNotStop(HostError):
    """The guest was asked to shut down and did not."""

    code = "did_not_stop"


class SourceRuns(HostError):
    """Its disk changes while it would be copied."""

    code = "source_runs"


class Overtaken(HostError):
    """Something else was asked for while a guest took its time to shut down."""

    code = OVERTAKEN


class VmReconciler:
    """`accelerator` answers what guests run under when a spec leaves it to the host.

    `stop_seconds` is how long a guest may take to shut down. `after_op` is called after each
    operation; tests end the process there.
    """

    def __init__(
        self,
        paths: HostPaths,
        domains: Domains,
        *,
        accelerator: Callable[[], RunsUnder],
        stop_seconds: float = STOP_SECONDS,
        cache_bytes: int = CACHE_BYTES,
        after_op: Callable[[Op], None] = lambda _: None,
    ) -> None:
        self._paths = paths
        self._domains = domains
        self._accelerator = accelerator
        self._stop_seconds = stop_seconds
        self._cache_bytes = cache_bytes
        self._after_op = after_op

    def apply(self, spec: VmSpec, report: Report) -> Outcome:
        """Make it so. What can be expected to fail comes back as an Outcome, not as an error."""
        try:
            specs.refuse_bad(spec)
            with locked(self._paths.run / "vms" / f"{spec.subject}.lock"):
                return self._applied(spec, report)
        except KvmwebError as error:
            return Outcome(
                ok=False,
                generation=spec.generation,
                code=HostBusy.code if error.retry else error.code,
                message=error.message,
                remedy=error.remedy,
                observed=self._last_seen(spec),
            )

    def check(self, spec: VmSpec) -> tuple[Op, ...]:
        """What `apply` would do; nothing is changed."""
        specs.refuse_bad(spec)
        return plan(spec, self.observe(spec))

    def preview(self, spec: VmSpec) -> list[tuple[Op, tuple[str, ...]]]:
        """What `apply` would do, each operation with what lies behind it."""
        specs.refuse_bad(spec)
        state = self.observe(spec)
        return [(op, detail(op, spec, state)) for op in plan(spec, state)]

    def restore(self, specifications: Iterable[VmSpec], report: Report) -> list[Outcome]:
        """Apply all, the one after the other; a failure does not keep the others from it.

        Those without autostart are put back as they are, on or off.
        """
        return [self.apply(self._unstarted(settled(spec)), report) for spec in specifications]

    def _unstarted(self, spec: VmSpec) -> VmSpec:
        """`spec` as it is to be restored; without autostart nothing is started."""
        if spec.autostart or not spec.present or spec.power not in {"on", "paused"}:
            return spec
        try:
            specs.refuse_bad(spec)
            return spec if self.observe(spec).is_active else replace(spec, power="off", force=False)
        except KvmwebError:
            return spec

    def observe(self, spec: VmSpec) -> VmState:
        """What there is of this VM."""
        layout = self.layout(spec.subject)
        wanted = {image.sha256 for image in images_of(spec)}
        return VmState(
            layout=layout,
            accelerator=self._accelerator() if spec.accelerator == "auto" else spec.accelerator,
            domain=self._domains.find(spec.subject),
            files=volumes.sizes(layout),
            seed=seed.read_digest(layout.seed),
            images=frozenset(sha256 for sha256 in wanted if layout.image(sha256).exists()),
            snapshots=snapshots.there(layout),
            used=volumes.used(layout),
            free=space.free(layout.folder),
            backs=snapshots.backs(layout),
        )

    def layout(self, subject: str) -> Layout:
        """Where this VM's files are."""
        return Layout(folder=self._paths.disks / subject, images=self._paths.images)

    def _applied(self, spec: VmSpec, report: Report) -> Outcome:
        hurry.forget(self._paths, spec.subject, spec.generation)
        state = self.observe(spec)
        for op in plan(spec, state):
            self._do(op, spec, state.layout, report)
            self._after_op(op)
        if not spec.present:
            volumes.remove_folder(state.layout)
        after = self.observe(spec)
        if rest := unfinished(spec, after):
            raise NotConverged("Not done after all: " + "; ".join(op.sentence for op in rest))
        return Outcome(ok=True, generation=spec.generation, observed=observed(spec, after))

    def _do(self, op: Op, spec: VmSpec, layout: Layout, report: Report) -> None:
        key = f"vm.{type(op).__name__}.{_object(op)}"
        if isinstance(op, LiveOp):
            report(Step(key=key, sentence=self._tried(op, spec)))
            return
        try:
            self._perform(op, spec, layout, lambda step: report(_under(key, step)))
        except KvmwebError as error:
            report(Step(key=key, sentence=error.message, state="failed", detail=error.code))
            self._abandon(op, spec)
            raise
        except BaseException:
            self._abandon(op, spec)
            raise
        report(Step(key=key, sentence=op.sentence))

    def _tried(self, op: LiveOp, spec: VmSpec) -> str:
        """What became of it, for people; what did not come about waits for the next start."""
        try:
            self._change_live(op, spec.subject)
        except HostBusy:
            raise
        except HostError as error:
            return f"The running guest did not take a change: {error.message}"
        deadline = time.monotonic() + _FOLLOW_SECONDS
        while op in plan(spec, self.observe(spec)):
            if time.monotonic() > deadline:
                return "The running guest did not follow a change; it comes at its next start"
            time.sleep(_POLL_SECONDS)
        return op.sentence

    def _change_live(self, op: LiveOp, subject: str) -> None:
        match op:
            case AttachDevice():
                self._domains.attach(subject, op.xml)
            case DetachDevice():
                self._domains.detach(subject, op.xml)
            case ChangeMedium():
                self._domains.change_medium(subject, op.xml)
            case SetMemory():
                self._domains.set_memory(subject, op.memory_mib)
            case SetVcpus():
                self._domains.set_vcpus(subject, op.vcpus)
            case _:
                assert_never(op)

    def _perform(self, op: StrictOp, spec: VmSpec, layout: Layout, report: Report) -> None:
        match op:
            case FetchImage() | CreateDisk() | CopyDisk() | GrowDisk() | WriteSeed():
                self._fill(op, layout, report)
            case DeleteDisk() | DeleteSeed() | DeleteFile():
                volumes.delete_file(layout.folder / _file(op, layout))
            case DefineDomain() | RedefineDomain():
                volumes.make_folder(layout)
                self._domains.define(op.xml)
            case GrowLiveDisk():
                file = str(layout.disk(op.disk.id))
                with volumes.space(layout.folder):
                    self._domains.grow_disk(spec.subject, file, op.disk.size_gib * GIB)
            case RenameDomain():
                self._domains.rename(spec.subject, op.name)
            case UndefineDomain():
                self._domains.undefine(spec.subject)
            case (
                SnapshotDisks()
                | SaveMemory()
                | DropSnapshot()
                | GoBack()
                | RestoreMemory()
                | NoteBack()
                | ThawGuest()
            ):
                self._snapshot(op, spec, layout, report)
            case _:
                self._switch(op, spec, report)

    def _snapshot(self, op: SnapshotOp, spec: VmSpec, layout: Layout, report: Report) -> None:
        subject, domains = spec.subject, self._domains
        match op:
            case SnapshotDisks():
                frozen = self._may_freeze(spec)
                snapshots.take_disks(op, subject, layout, domains, frozen=frozen)
            case SaveMemory():
                telling(
                    report,
                    "Writing the guest's memory, while it stands still",
                    lambda: snapshots.take_memory(op, subject, layout, domains),
                )
            case DropSnapshot():
                telling(
                    report,
                    "Deleting a snapshot",
                    lambda: snapshots.drop(op, subject, layout, domains),
                )
            case GoBack():
                telling(report, "Bringing the disks back", lambda: snapshots.go_back(op, layout))
            case RestoreMemory():
                telling(
                    report,
                    "Reading the guest's memory",
                    lambda: snapshots.restore_memory(op, subject, layout, domains),
                )
            case NoteBack():
                snapshots.note_back(layout, op.count)
            case ThawGuest():
                snapshots.thaw(subject, layout, domains)
            case _:
                assert_never(op)

    def _may_freeze(self, spec: VmSpec) -> bool:
        domain = self._domains.find(spec.subject)
        return domain is not None and snapshots.may_freeze(domain.live_xml, domain.state)

    def _abandon(self, op: Op, spec: VmSpec) -> None:
        """A snapshot that came to nothing leaves no part of it, and no guest that stands still."""
        if not isinstance(op, SnapshotDisks | SaveMemory):
            return
        untaken = replace(
            spec,
            snapshots=tuple(each for each in spec.snapshots if each.taken or each.id != op.id),
        )
        with suppress(KvmwebError, OSError):
            for step in plan(untaken, self.observe(spec)):
                if isinstance(step, DropSnapshot) and step.id == op.id:
                    snapshots.drop(step, spec.subject, self.layout(spec.subject), self._domains)
        with suppress(KvmwebError):
            if spec.power == "on" and self._domains.state(spec.subject) == "paused":
                self._domains.resume(spec.subject)

    def _switch(self, op: PowerOp, spec: VmSpec, report: Report) -> None:
        match op:
            case StartDomain():
                self._start(op, spec, report)
            case ResumeDomain():
                self._domains.resume(spec.subject)
            case PauseDomain():
                self._domains.pause(spec.subject)
            case SaveDomain():
                saving = f"Saving {spec.name or spec.domain} to disk"
                telling(report, saving, lambda: self._domains.save(spec.subject))
            case DiscardSaved():
                self._domains.discard_saved(spec.subject)
            case ShutdownDomain():
                self._shut_down(spec, report)
            case DestroyDomain():
                self._domains.destroy(spec.subject)
            case _:
                assert_never(op)

    def _start(self, op: StartDomain, spec: VmSpec, report: Report) -> None:
        if not op.restored:
            self._domains.start(spec.subject)
            return
        restoring = f"Restoring {spec.name or spec.domain} from disk"
        try:
            telling(
                report,
                restoring,
                lambda: self._domains.start(spec.subject, seconds=MEMORY_SECONDS),
            )
        except CannotStart as error:
            error.remedy = f"{error.remedy} Force it off to drop what was saved, then start it."
            raise

    def _fill(
        self,
        op: FetchImage | CreateDisk | CopyDisk | GrowDisk | WriteSeed,
        layout: Layout,
        report: Report,
    ) -> None:
        match op:
            case FetchImage():
                copying = f"Copying image {op.image.name}"
                images.fetch_image(
                    op.image,
                    layout,
                    _percent(report, copying),
                    lock_folder=self._paths.run / "images",
                )
                self._shrink_cache(op.image)
            case CreateDisk():
                self._create_disk(op.disk, layout)
            case CopyDisk():
                self._copy_disk(op.disk, layout, report)
            case GrowDisk():
                volumes.grow_disk(op.disk, layout)
            case WriteSeed():
                volumes.make_folder(layout)
                with volumes.space(layout.folder):
                    seed.write(layout.seed, op.seed)
            case _:
                assert_never(op)

    def _create_disk(self, disk: DiskSpec, layout: Layout) -> None:
        """Under the cache's lock, so that the image does not go in the same moment."""
        with locked(self._cache_lock):
            if disk.image:
                image = layout.image(disk.image.sha256)
                if not image.exists() and not layout.disk(disk.id).exists():
                    raise HostBusy(f"The image {disk.image.name} has left the cache meanwhile.")
                cache.touch(image)
            volumes.create_disk(disk, layout)

    def _copy_disk(self, disk: DiskSpec, layout: Layout, report: Report) -> None:
        """One that is not a snapshot stays as it is meanwhile: its VM is held, and must be off."""
        source, told = disk.copy_of, _percent(report, "Copying a disk")
        if source is None or source.snapshot:
            copies.copy_disk(disk, layout, told)
            return
        with locked(self._paths.run / "vms" / f"{source.vm}.lock"):
            if self._domains.state(source.vm) not in {"off", "crashed", None}:
                raise SourceRuns(
                    "The VM whose disk is to be copied is not off.", remedy="Stop it, then retry."
                )
            copies.copy_disk(disk, layout, told)

    def _shrink_cache(self, fetched: ImageRef) -> None:
        """What neither a disk nor a stored spec needs goes, as far as it is too much."""
        with locked(self._cache_lock):
            stored = SpecStore(self._paths.specs, "vm", VmSpec).present()
            named = (image for spec in stored for image in images_of(spec))
            cache.evict(
                self._paths.images,
                self._paths.disks,
                wanted={fetched.sha256, *(image.sha256 for image in named)},
                limit=self._cache_bytes,
            )

    @property
    def _cache_lock(self) -> Path:
        return self._paths.run / "images" / "cache.lock"

    def _shut_down(self, spec: VmSpec, report: Report) -> None:
        """Press the button again and again: a guest that still boots ignores the first ones."""
        begin = time.monotonic()
        presses, told = 0, -1
        while (waited := time.monotonic() - begin) < self._stop_seconds:
            if waited >= presses * _PRESS_AGAIN_SECONDS:
                presses += 1
                self._domains.press_power_button(spec.subject)
            if self._domains.state(spec.subject) in {"off", "crashed", None}:
                return
            if hurry.is_overtaken(self._paths, spec.subject, spec.generation):
                raise Overtaken("What was asked for next took its place.")
            if int(waited) != told:
                told = int(waited)
                left = int(self._stop_seconds) - told
                sentence = f"Waiting for {spec.name or spec.domain} to shut down ({left} s left)"
                report(Step(key="", sentence=sentence, state="running"))
            time.sleep(_POLL_SECONDS)
        raise DidNotStop(
            f"{spec.name or spec.domain} did not shut down within {self._stop_seconds:g} s.",
            remedy="Force it off, keep it running, or wait and try again.",
        )

    def _last_seen(self, spec: VmSpec) -> dict[str, object]:
        """What there is after a failure, if the host can still tell."""
        try:
            return observed(spec, self.observe(spec))
        except (KvmwebError, OSError):
            return {}


def settled(spec: VmSpec) -> VmSpec:
    """`spec` without what is to happen once: that is for the job that asked for it."""
    taken = tuple(replace(snapshot, taken=True) for snapshot in spec.snapshots)
    return replace(spec, snapshots=taken, back=None)


def observed(spec: VmSpec, state: VmState) -> dict[str, object]:
    """What the panel is told of a VM."""
    return _power(spec, state) | _stored(spec, state)


def _stored(spec: VmSpec, state: VmState) -> dict[str, object]:
    """Its snapshots, and the bytes that it takes on the host."""
    memory = {each.id: state.layout.memory(each.id).name for each in spec.snapshots}
    return {
        "snapshots": {
            each.id: {
                "memory": memory[each.id] in state.files,
                "memory_bytes": state.used.get(memory[each.id], 0),
            }
            for each in spec.snapshots
            if has_disks(each, state)
        },
        "foreign_snapshots": list(foreign(state)),
        "backs": state.backs,
        "disk_bytes": sum(used for file, used in state.used.items() if disk_of(file)),
        "memory_bytes": sum(used for file, used in state.used.items() if memory_of(file)),
    }


def _power(spec: VmSpec, state: VmState) -> dict[str, object]:
    if state.domain is None:
        return {"state": "off", "restart_needed": False, "boots": spec.boots}
    return {
        "state": state.power,
        "reason": state.domain.reason,
        "boots": boots(state.domain.live_xml) if state.domain.live_xml else spec.boots,
        "restart_needed": spec.present and restart_needed(spec, state),
    }


def _object(op: Op) -> str:
    match op:
        case FetchImage(image=image):
            return image.id
        case (
            CreateDisk(disk=disk)
            | CopyDisk(disk=disk)
            | GrowDisk(disk=disk)
            | GrowLiveDisk(disk=disk)
        ):
            return disk.id
        case AttachDevice(xml=xml) | DetachDevice(xml=xml) | ChangeMedium(xml=xml):
            return hashlib.sha256(xml.encode()).hexdigest()[:8]
        case DeleteDisk(id=name) | DeleteFile(file=name):
            return name
        case SnapshotDisks(id=name) | SaveMemory(id=name) | DropSnapshot(id=name):
            return name
        case _:
            return ""


def _file(op: DeleteDisk | DeleteSeed | DeleteFile, layout: Layout) -> str:
    match op:
        case DeleteDisk():
            return layout.disk(op.id).name
        case DeleteSeed():
            return layout.seed.name
        case DeleteFile():
            return op.file
        case _:
            assert_never(op)


def _under(key: str, step: Step) -> Step:
    return Step(key=key, sentence=step.sentence, state=step.state, percent=step.percent)


def _percent(report: Report, sentence: str) -> Callable[[int], None]:
    """What reports how far something is, in percent."""
    return lambda percent: report(Step(key="", sentence=sentence, state="running", percent=percent))
