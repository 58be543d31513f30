"""Copies of disks that may be in use meanwhile.

A guest that runs may go on writing to the file that is copied, as long as it is an internal
snapshot of it that is read: its tables and clusters were flushed when it was taken, and nothing
writes to them while it exists. `qemu-img -U` reads beside the QEMU that holds the file's lock.
"""

from __future__ import annotations

import errno
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from kvmweb.core.errors import HostError
from kvmweb.host.files import flush_folder
from vms.host.drivers import qcow2
from vms.host.drivers.space import refuse_if_full
from vms.host.drivers.volumes import DiskTooSmall, QemuImgFailed, make_folder, qemu_img, space
from vms.host.layout import FILE_MODE, Layout, snapshot_name
from vms.host.spec import DiskSource, DiskSpec

Progress = Callable[[int], None]
"""Told the percent done, each value once."""

_GIB = 1 << 30
# The child ends with whoever started it: nobody would wait for a copy that goes on alone.
_LIMITS = ("setpriv", "--pdeathsig", "KILL", "--", "prlimit", f"--as={4 << 30}", "--")
_PERCENT = re.compile(rb"\((\d+)\.\d+/100%\)")


class SourceGone(HostError):
    code = "source_gone"


def copy_disk(disk: DiskSpec, layout: Layout, progress: Progress) -> None:
    """Make the disk's file as a copy of another's; already there is success.

    With an image it becomes an overlay of it and holds what differs, without one it is whole.
    """
    target = layout.disk(disk.id)
    if target.exists() or disk.copy_of is None:
        return
    source = source_file(disk.copy_of, layout)
    _refuse_unusable(disk, disk.copy_of, source)
    make_folder(layout)
    fresh = layout.folder / f".{target.name}.new"
    fresh.unlink(missing_ok=True)
    with space(layout.folder):
        refuse_if_full(layout.folder, _most(source, disk), "copy the disk")
        backing = layout.image(disk.image.sha256) if disk.image else None
        convert(source, fresh, snapshot=disk.copy_of.snapshot, backing=backing, progress=progress)
        qemu_img("resize", "-q", "-f", "qcow2", str(fresh), f"{disk.size_gib}G")
        fresh.chmod(FILE_MODE)
        fresh.replace(target)
        flush_folder(layout.folder)


def source_file(source: DiskSource, layout: Layout) -> Path:
    """Where the disk of another VM of this host is."""
    return layout.beside(source.vm).disk(source.disk)


def convert(
    source: Path,
    target: Path,
    *,
    snapshot: str = "",
    backing: Path | None = None,
    compressed: bool = False,
    progress: Progress,
) -> None:
    """Copy one qcow2 to another, flushed to the disk, telling how far it is."""
    arguments = ["convert", "-p", "-U", "-f", "qcow2", "-O", "qcow2"]
    if snapshot:
        arguments += ["-l", f"snapshot.name={snapshot_name(snapshot)}"]
    if backing:
        arguments += ["-B", str(backing.absolute()), "-F", "qcow2"]
    if compressed:
        arguments += ["-c"]
    _run([*arguments, str(source), str(target)], progress)
    descriptor = os.open(target, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _run(arguments: list[str], progress: Progress) -> None:
    with subprocess.Popen(
        [*_LIMITS, "qemu-img", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None  # noqa: S101  asked for above
        assert process.stderr is not None  # noqa: S101
        try:
            _tell(process.stdout, progress)
            failure = process.stderr.read().decode(errors="replace").strip()
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        if os.strerror(errno.ENOSPC) in failure:
            raise OSError(errno.ENOSPC, failure)
        raise QemuImgFailed(f"qemu-img {arguments[0]} failed: {failure}")


def _tell(output: IO[bytes], progress: Progress) -> None:
    """Pass on each new percent, but none within a second of the one before."""
    told, at = -1, 0.0
    for percent in _percents(output):
        if percent > told and (percent == 100 or time.monotonic() - at >= 1):
            told, at = percent, time.monotonic()
            progress(percent)


def _percents(output: IO[bytes]) -> Iterator[int]:
    rest = b""
    while chunk := output.read1():  # type: ignore[attr-defined]
        rest = (rest + chunk)[-64:]
        if found := _PERCENT.findall(rest):
            yield int(found[-1])


def _refuse_unusable(disk: DiskSpec, wanted: DiskSource, source: Path) -> None:
    try:
        size, there = qcow2.virtual_size(source), qcow2.snapshots(source)
    except FileNotFoundError:
        size, there = 0, ()
    if not size or (
        wanted.snapshot and snapshot_name(wanted.snapshot) not in {each.name for each in there}
    ):
        raise SourceGone(
            "What was to be copied is gone from the host.", remedy="Choose another source."
        )
    if disk.size_gib * _GIB < size:
        raise DiskTooSmall(
            f"A disk of {disk.size_gib} GiB is too small for a copy of one of {size / _GIB:.3g} "
            "GiB.",
            field="disks",
            remedy=f"Choose at least {-(-size // _GIB)} GiB.",
        )


def _most(source: Path, disk: DiskSpec) -> int:
    """The bytes a copy takes at most."""
    most = source.stat().st_blocks * 512
    if disk.image is None and (backing := qcow2.backing_file(source)):
        most += Path(backing).stat().st_blocks * 512
    return most
