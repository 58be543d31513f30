"""The cache of images by content: copied once, checked on the way, never changed.

An image lies under a name of its own until it is whole and known to refer to nothing else.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from kvmweb.core.errors import HostError
from kvmweb.host.files import flush_folder, locked
from vms.host.drivers.volumes import QemuImgFailed, full, make_enterable, qemu_img, space
from vms.host.layout import FILE_MODE, Layout
from vms.host.spec import ImageRef

Progress = Callable[[int], None]
"""Told the percent done, each value once."""

IMAGE_MODE = 0o640
_CHUNK = 1 << 20
_SPARE = 64 << 20
_SILENCE_SECONDS = 30


class ImageError(HostError):
    """The image cannot be used; `code` says in which way."""

    code = "image_unusable"


class ImageUnreachable(HostError):
    code = "image_unreachable"
    retry = True


def fetch_image(image: ImageRef, layout: Layout, progress: Progress, *, lock_folder: Path) -> None:
    """Copy the image into the cache, checked on the way; already there is success.

    One process at a time copies an image, the others wait for it.
    """
    target = layout.image(image.sha256)
    make_enterable(layout.images)
    with locked(lock_folder / f"{image.sha256}.lock"), space(layout.images):
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
        info = json.loads(qemu_img("info", "-f", "qcow2", "--output=json", str(path)))
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


def _refuse_if_full(folder: Path, size: int) -> None:
    stat = os.statvfs(folder)
    free = stat.f_bavail * stat.f_frsize
    if free < size + _SPARE:
        raise full(folder, f"{free >> 20} MiB are free, {(size + _SPARE) >> 20} MiB are needed")


def _private(path: Path) -> IO[bytes]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, FILE_MODE), "wb")
