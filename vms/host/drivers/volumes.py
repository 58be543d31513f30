"""Images and disks: a cache of images by content, and qcow2 overlays on them.

Formats are always given, never probed: a guest may write any header it likes into its own disk.
Whatever is made lies under a name of its own until it is whole.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from kvmweb.core.errors import HostBusy, HostError
from kvmweb.host.files import flush_folder, locked
from vms.host.drivers import qcow2
from vms.host.layout import FILE_MODE, FOLDER_MODE, Layout
from vms.host.spec import DiskSpec, ImageRef

Progress = Callable[[int], None]
"""Told the percent done, each value once."""

IMAGE_MODE = 0o640
_CHUNK = 1 << 20
_GIB = 1 << 30
_SPARE = 64 << 20
_SILENCE_SECONDS = 30
_QEMU_IMG_SECONDS = 60
_LIMITS = ("prlimit", "--cpu=30", f"--as={1 << 30}")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class ImageError(HostError):
    """The image cannot be used; `code` says in which way."""

    code = "image_unusable"


class ImageUnreachable(HostError):
    code = "image_unreachable"
    retry = True


class DiskFull(HostError):
    code = "disk_full"


class DiskTooSmall(HostError):
    code = "disk_too_small"


def fetch_image(
    image: ImageRef, layout: Layout, progress: Progress, *, lock_folder: Path | None = None
) -> None:
    """Copy the image into the cache, checked on the way; already there is success.

    One process at a time copies an image, the others wait for it.
    """
    target = layout.image(image.sha256)
    _make_folder(layout.images)
    with locked((lock_folder or layout.images) / f"{image.sha256}.lock"), space(layout.images):
        if target.exists():
            return
        _refuse_if_full(layout.images, image.size_bytes)
        partial = layout.images / f".{image.sha256}.part"
        try:
            _copy(image, partial, progress)
            _refuse_bad_format(partial, image.name)
            partial.chmod(IMAGE_MODE)
            partial.replace(target)
            flush_folder(layout.images)
        finally:
            partial.unlink(missing_ok=True)


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
        _qemu_img(*arguments, str(fresh), f"{disk.size_gib}G")
        fresh.chmod(FILE_MODE)
        _flush(fresh)
        fresh.replace(target)
        flush_folder(layout.folder)


def grow_disk(disk: DiskSpec, layout: Layout) -> None:
    """Enlarge the disk of a guest that is off."""
    with space(layout.folder):
        _qemu_img("resize", "-q", "-f", "qcow2", str(layout.disk(disk.id)), f"{disk.size_gib}G")


def delete_file(path: Path) -> None:
    """Already gone is success."""
    path.unlink(missing_ok=True)


def remove_folder(layout: Layout) -> None:
    """Remove the VM's folder, which is empty by then; already gone is success."""
    with suppress(FileNotFoundError):
        layout.folder.rmdir()


def make_folder(layout: Layout) -> None:
    """The VM's folder; entered by QEMU, listed by root alone."""
    _make_folder(layout.folder.parent)
    _make_folder(layout.folder)


def sizes(layout: Layout) -> dict[str, int]:
    """All files of the VM with their bytes; of a disk, what the guest sees of it."""
    found: dict[str, int] = {}
    with suppress(FileNotFoundError):
        for path in layout.folder.iterdir():
            with suppress(FileNotFoundError):
                found[path.name] = _size(path)
    return found


def _size(path: Path) -> int:
    if path.suffix == ".qcow2":
        with suppress(qcow2.NotQcow2):
            return qcow2.virtual_size(path)
    return path.stat().st_size


def _copy(image: ImageRef, target: Path, progress: Progress) -> None:
    digest = hashlib.sha256()
    done, told = 0, -1
    with _opened(image) as source, _private(target) as file:
        while chunk := _read(source, image):
            file.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            percent = min(100, done * 100 // max(image.size_bytes, done, 1))
            if percent != told:
                progress(told := percent)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != image.sha256:
        raise ImageError(
            f"The image {image.name} is not what it should be: its SHA-256 is "
            f"{digest.hexdigest()}, expected {image.sha256}.",
            code="image_checksum",
            remedy="Fetch the image again from its publisher, or correct its checksum.",
        )


@contextmanager
def _opened(image: ImageRef) -> Iterator[IO[bytes]]:
    if image.source.startswith(("http://", "https://")):
        with _download(image) as answer:
            yield answer
        return
    path = Path(image.source)
    if not path.is_absolute():
        raise ImageError(
            f"The source of image {image.name} is neither an absolute path nor an http(s) URL.",
            code="image_source",
        )
    try:
        file = path.open("rb")
    except OSError as error:
        raise ImageError(
            f"The image {image.name} cannot be read from {path}: {error.strerror}.",
            code="image_missing",
            remedy="Put the file back, or choose another image.",
        ) from error
    with file:
        yield file


def _download(image: ImageRef) -> IO[bytes]:
    """Opened without the handlers for file: and ftp:, which a redirect could lead to."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    try:
        return cast("IO[bytes]", opener.open(image.source, timeout=_SILENCE_SECONDS))
    except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
        raise _unreachable(image, error) from error


def _read(source: IO[bytes], image: ImageRef) -> bytes:
    try:
        return source.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(image, error) from error


def _unreachable(image: ImageRef, error: Exception) -> ImageUnreachable:
    return ImageUnreachable(
        f"The image {image.name} could not be fetched from {image.source}: {error}",
        remedy="Check the address and that the host may reach it, then retry.",
    )


def _refuse_bad_format(path: Path, name: str) -> None:
    try:
        info = json.loads(_qemu_img("info", "-f", "qcow2", "--output=json", str(path)))
    except QemuImgFailed as error:
        raise ImageError(
            f"The image {name} is not a qcow2 image.",
            code="image_format",
            remedy="Convert it: qemu-img convert -O qcow2 OLD NEW.",
        ) from error
    _refuse_references(info, name)


def _refuse_references(info: dict[str, Any], name: str) -> None:
    """An image that points at other files would let its maker read the host's."""
    data = info.get("format-specific", {}).get("data", {})
    if "backing-filename" in info or "data-file" in data:
        raise ImageError(
            f"The image {name} refers to another file, which is not allowed.",
            code="image_format",
            remedy="Make it whole: qemu-img convert -O qcow2 OLD NEW.",
        )


def _refuse_small_disk(disk: DiskSpec, needed: int) -> None:
    if disk.size_gib * _GIB < needed:
        raise DiskTooSmall(
            f"A disk of {disk.size_gib} GiB is too small for the image, which has "
            f"{needed / _GIB:.3g} GiB.",
            field="disks",
            remedy=f"Choose at least {-(-needed // _GIB)} GiB.",
        )


def _refuse_if_full(folder: Path, size: int) -> None:
    stat = os.statvfs(folder)
    free = stat.f_bavail * stat.f_frsize
    if free < size + _SPARE:
        raise _full(folder, f"{free >> 20} MiB are free, {(size + _SPARE) >> 20} MiB are needed")


@contextmanager
def space(folder: Path) -> Iterator[None]:
    """Turn the kernel's word for a full disk into ours."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _full(folder, os.strerror(error.errno)) from error
        raise


def _full(folder: Path, detail: str) -> DiskFull:
    return DiskFull(
        f"The host's disk is full: {detail} in {folder}.",
        remedy="Delete images or VMs that are no longer needed, or give the host more space.",
    )


class QemuImgFailed(HostError):
    code = "qemu_img"


def _qemu_img(*arguments: str) -> str:
    command = [*_LIMITS, "qemu-img", *arguments]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=_QEMU_IMG_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise HostBusy(f"qemu-img {arguments[0]} took more than {error.timeout:g} s.") from error
    if done.returncode:
        if os.strerror(errno.ENOSPC) in done.stderr:
            raise OSError(errno.ENOSPC, done.stderr.strip())
        raise QemuImgFailed(f"qemu-img {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout


def _make_folder(folder: Path) -> None:
    """Made with its parents, which keep the usual mode."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True)
    folder.chmod(FOLDER_MODE)


def _private(path: Path) -> IO[bytes]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, FILE_MODE), "wb")


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
