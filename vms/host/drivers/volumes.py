"""The files of a VM: qcow2 disks, overlays on cached images or empty.

Formats are always given, never probed: a guest may write any header it likes into its own disk.
Whatever is made lies under a name of its own until it is whole.
"""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kvmweb.core.errors import HostBusy, HostError
from kvmweb.host.files import flush_folder
from vms.host.drivers import qcow2
from vms.host.drivers.space import allocated
from vms.host.layout import FILE_MODE, FOLDER_MODE, Layout
from vms.host.spec import DiskSpec

_GIB = 1 << 30
_QEMU_IMG_SECONDS = 60
_LIMITS = ("setpriv", "--pdeathsig", "KILL", "--", "prlimit", f"--as={1 << 30}")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class DiskFull(HostError):
    code = "disk_full"


class DiskTooSmall(HostError):
    code = "disk_too_small"


def create_disk(disk: DiskSpec, layout: Layout) -> None:
    """Create the disk's file; already there is success."""
    target = layout.disk(disk.id)
    if target.exists():
        return
    make_folder(layout)
    arguments = ["create", "-q", "-f", "qcow2"]
    if disk.image:
        base = layout.image(disk.image.sha256)
        _refuse_small_disk(disk, qcow2.virtual_size(base))
        arguments += ["-F", "qcow2", "-b", str(base.absolute())]
    fresh = layout.folder / f".{target.name}.new"
    fresh.unlink(missing_ok=True)
    with space(layout.folder):
        qemu_img(*arguments, str(fresh), f"{disk.size_gib}G")
        fresh.chmod(FILE_MODE)
        _flush(fresh)
        fresh.replace(target)
        flush_folder(layout.folder)


def grow_disk(disk: DiskSpec, layout: Layout) -> None:
    """Enlarge the disk of a guest that is off."""
    with space(layout.folder):
        qemu_img("resize", "-q", "-f", "qcow2", str(layout.disk(disk.id)), f"{disk.size_gib}G")


def delete_file(path: Path) -> None:
    """Already gone is success."""
    path.unlink(missing_ok=True)


def remove_folder(layout: Layout) -> None:
    """Remove the VM's folder, which is empty by then; already gone is success."""
    with suppress(FileNotFoundError):
        layout.folder.rmdir()


def make_folder(layout: Layout) -> None:
    """The VM's folder; entered by QEMU, listed by root alone."""
    make_enterable(layout.folder.parent)
    make_enterable(layout.folder)


def sizes(layout: Layout) -> dict[str, int]:
    """All files of the VM with their bytes; of a disk, what the guest sees of it."""
    found: dict[str, int] = {}
    with suppress(FileNotFoundError):
        for path in layout.folder.iterdir():
            with suppress(FileNotFoundError):
                found[path.name] = _size(path)
    return found


def used(layout: Layout) -> dict[str, int]:
    """All files of the VM with the bytes they take."""
    with suppress(FileNotFoundError):
        return {path.name: allocated(path) for path in layout.folder.iterdir()}
    return {}


def _size(path: Path) -> int:
    if path.suffix == ".qcow2":
        with suppress(qcow2.NotQcow2):
            return qcow2.virtual_size(path)
    return path.stat().st_size


def _refuse_small_disk(disk: DiskSpec, needed: int) -> None:
    if disk.size_gib * _GIB < needed:
        raise DiskTooSmall(
            f"A disk of {disk.size_gib} GiB is too small for the image, which has "
            f"{needed / _GIB:.3g} GiB.",
            field="disks",
            remedy=f"Choose at least {-(-needed // _GIB)} GiB.",
        )


@contextmanager
def space(folder: Path) -> Iterator[None]:
    """Turn the kernel's word for a full disk into ours."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise full(folder, os.strerror(error.errno)) from error
        raise


def full(folder: Path, detail: str) -> DiskFull:
    return DiskFull(
        f"The host's disk is full: {detail} in {folder}.",
        remedy="Delete images or VMs that are no longer needed, or give the host more space.",
    )


class QemuImgFailed(HostError):
    code = "qemu_img"


def qemu_img(*arguments: str, seconds: int = _QEMU_IMG_SECONDS) -> str:
    """What it printed. It ends with whoever started it, and after `seconds`."""
    command = [*_LIMITS, f"--cpu={seconds // 2}", "qemu-img", *arguments]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise HostBusy(f"qemu-img {arguments[0]} took more than {error.timeout:g} s.") from error
    if done.returncode:
        if os.strerror(errno.ENOSPC) in done.stderr:
            raise OSError(errno.ENOSPC, done.stderr.strip())
        raise QemuImgFailed(f"qemu-img {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout


def make_enterable(folder: Path) -> None:
    """Made with its parents, which keep the usual mode."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True)
    folder.chmod(FOLDER_MODE)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
