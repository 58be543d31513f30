"""Bring an image into the library, or out of it: observe, plan, apply, observe again.

Killed at any point, it is finished by running it again. What can never become an image is removed
at once; what could not be fetched now is kept as far as it is whole.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, assert_never
from urllib.parse import urlsplit

import msgspec

from kvmweb.core.errors import HostBusy, HostError, KvmwebError, NotConverged
from kvmweb.host.files import flush_folder, write_durably
from kvmweb.host.progress import OVERTAKEN, Outcome, Report, Step
from vms.library import confined, formats, web
from vms.library.checksums import Digest, checksum_in
from vms.library.failures import BadImage, CannotFetch, full, words
from vms.library.layout import FILE_MODE, Library
from vms.library.ops import Clear, Convert, DeleteImage, Download, Op, TakeUpload
from vms.library.plan import Facts, ImageState, plan
from vms.library.spec import ImageSpec
from vms.library.unpack import unpacked

_CHUNK = 1 << 20
_LOOK_EVERY = 64 << 20


class Stopped(HostError):
    """Somebody no longer wants the image that is being made."""

    code = OVERTAKEN


class Librarian:
    """Does it for one library. `after_op` is called after each operation; tests end there."""

    def __init__(self, library: Library, *, after_op: Callable[[Op], None] = lambda _: None):
        self._library = library
        self._after_op = after_op

    def apply(self, spec: ImageSpec, report: Report) -> Outcome:
        """Make it so. What can be expected to fail comes back as an Outcome, not as an error."""
        try:
            return self._applied(spec, report)
        except KvmwebError as error:
            if isinstance(error, BadImage):
                _clear(self._library, spec.subject)
            return Outcome(
                ok=False,
                generation=spec.generation,
                code=HostBusy.code if error.retry else error.code,
                message=error.message,
                remedy=error.remedy,
            )

    def check(self, spec: ImageSpec) -> tuple[Op, ...]:
        """What `apply` would do; nothing is changed."""
        return plan(spec, self.observe(spec.subject))

    def restore(self, specifications: Iterable[ImageSpec], report: Report) -> list[Outcome]:
        """Apply all, one after the other."""
        return [self.apply(spec, report) for spec in specifications]

    def forget(self, subject: str) -> None:
        """Remove what the making of this image has left."""
        _clear(self._library, subject)

    def observe(self, subject: str) -> ImageState:
        """What there is of this image."""
        library = self._library
        has_file = library.image(subject).exists()
        return ImageState(
            facts=_facts(library.facts(subject)) if has_file else None,
            has_file=has_file or library.facts(subject).exists(),
            has_source=library.source(subject).exists(),
            has_leftovers=any(
                path.exists()
                for path in (
                    library.desk(subject),
                    library.upload(subject),
                    library.stopped(subject),
                )
            ),
        )

    def _applied(self, spec: ImageSpec, report: Report) -> Outcome:
        self._library.make()
        for op in plan(spec, self.observe(spec.subject)):
            self._do(op, spec, report)
            self._after_op(op)
        after = self.observe(spec.subject)
        if rest := plan(spec, after):
            raise NotConverged("Not done after all: " + "; ".join(op.sentence for op in rest))
        observed = msgspec.to_builtins(after.facts) if after.facts else {}
        return Outcome(ok=True, generation=spec.generation, observed=observed)

    def _do(self, op: Op, spec: ImageSpec, report: Report) -> None:
        key = f"image.{type(op).__name__}"
        making = Making(self._library, spec, report, key=key)
        try:
            match op:
                case Download():
                    making.download()
                case TakeUpload():
                    making.take_upload()
                case Convert():
                    making.convert()
                case Clear():
                    _clear(self._library, spec.subject)
                case DeleteImage():
                    _delete(self._library, spec.subject)
                case _:
                    assert_never(op)
        except KvmwebError as error:
            report(Step(key=key, sentence=error.message, state="failed", detail=error.code))
            raise
        report(Step(key=key, sentence=op.sentence))


class Making:
    """The making of one image; `key` is the step that its progress is told under."""

    def __init__(self, library: Library, spec: ImageSpec, report: Report, *, key: str) -> None:
        self._key = key
        self._unwatched = 0
        self._library = library
        self._spec = spec
        self._report = report
        self._desk = library.desk(spec.subject)

    def download(self) -> None:
        """Fetch what the URL names to `source`, with the right checksum."""
        spec = self._spec
        self._desk.mkdir(mode=0o700, exist_ok=True)
        checksum = spec.checksum or self._published()
        digest, part = Digest(checksum), self._desk / "source.part"
        with web.opened(spec.url, spec.reach) as answer, _private(part) as file:
            told = self._percent(f"Fetching {spec.url}")
            size, done = answer.size or 0, 0
            self._refuse_if_full(min(size, spec.limits.file))
            for chunk in answer.chunks(spec.limits.file):
                done += len(chunk)
                _write(file, chunk, digest)
                self._watch_space(len(chunk))
                if size:
                    told(done * 100 // size)
            _flush(file)
        self._accept(part, digest, checksum)

    def take_upload(self) -> None:
        """Move the upload to `source` once it is known to be whole."""
        spec = self._spec
        upload = self._library.upload(spec.subject)
        size = upload.stat().st_size if upload.exists() else None
        if size is None or size != spec.upload_bytes:
            raise BadImage(
                f"{words(size or 0)} of the {words(spec.upload_bytes)} announced were uploaded.",
                code="image_incomplete",
                remedy="Delete this image and upload it again.",
            )
        digest = Digest(spec.checksum)
        told = self._percent("Reading what was uploaded")
        with upload.open("rb") as file:
            os.fsync(file.fileno())
            done = 0
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                done += len(chunk)
                told(done * 100 // max(size, 1))
        self._accept(upload, digest, spec.checksum)

    def convert(self) -> None:
        """Make the qcow2 that hosts fetch, and note what it is."""
        source = self._library.source(self._spec.subject)
        came = _note_of(self._desk).get("checksum", "")
        disk_file = self._unpacked(source)
        disk = formats.disk_of(disk_file)
        # An ISO is a row of sectors too, and hosts keep it as a qcow2 like all others.
        read_as: formats.Disk = "raw" if disk == "iso" else disk
        self._refuse_disk(disk_file, read_as, boots=disk != "iso")
        made = self._desk / "image.qcow2"
        self._convert(disk_file, read_as, made)
        sha256 = self._digest(made)
        facts = Facts(
            sha256=sha256,
            size_bytes=made.stat().st_size,
            virtual_size_bytes=formats.qcow2_size(made),
            found_checksum=came,
            found_format=disk,
        )
        self._keep(made, facts)

    def _published(self) -> str:
        """The checksum in the publisher's list."""
        spec = self._spec
        name = urlsplit(spec.url).path.rpartition("/")[2]
        found = ""
        if spec.checksum_url:
            found = checksum_in(web.text_at(spec.checksum_url, spec.reach), name)
        if not found:
            raise CannotFetch(
                f"There is no checksum of {name} at {spec.checksum_url or 'any address'}.",
                code="image_no_checksum",
                remedy="Give the checksum itself.",
            )
        self._report(Step(key="image.checksum", sentence=f"Its publisher says it is {found}"))
        return found

    def _accept(self, file: Path, digest: Digest, wanted: str) -> None:
        self._desk.mkdir(mode=0o700, exist_ok=True)
        if not digest.is_right:
            raise BadImage(
                f"This is not the file it should be: its checksum is {digest.found}, "
                f"expected {wanted}.",
                code="image_checksum",
                remedy="Fetch it again from its publisher, or correct the checksum.",
            )
        write_durably(self._desk / "note.json", msgspec.json.encode({"checksum": digest.found}))
        file.replace(self._library.source(self._spec.subject))
        flush_folder(self._desk)

    def _unpacked(self, source: Path) -> Path:
        """`source`, or the disk that is packed in it."""
        packing = formats.packing_of(source)
        if packing is None:
            return source
        disk = self._desk / "disk"
        told = self._percent(f"Unpacking {packing}")
        size = source.stat().st_size
        with source.open("rb") as taken, _private(disk) as file:
            for chunk in unpacked(taken, packing, self._spec.limits.file):
                if any(chunk):
                    file.write(chunk)
                else:
                    file.seek(len(chunk), os.SEEK_CUR)
                self._watch_space(len(chunk))
                told(taken.tell() * 100 // size)
            file.truncate(file.tell())
        return disk

    def _refuse_disk(self, file: Path, disk: formats.Disk, *, boots: bool) -> None:
        confined.hand_over(file)
        found, limit = confined.info(file, disk), self._spec.limits.disk
        if "backing-filename" in found or "data-file" in _details(found):
            raise BadImage(
                "The image refers to another file, which is not allowed.", code="image_format"
            )
        if found["virtual-size"] > limit:
            raise BadImage(
                f"The disk in it has {words(found['virtual-size'])}; an image may have "
                f"{words(limit)} here.",
                code="image_too_large",
                remedy="Make its disk smaller, or ask an operator to raise the limit.",
            )

        if boots and not formats.is_bootable(confined.first_sector(file, disk)):
            raise BadImage(
                "The disk in it has no boot sector, so nothing could start from it.",
                code="image_format",
                remedy="Take the image of an installed system, such as a cloud image.",
            )

    def _convert(self, source: Path, disk: formats.Disk, made: Path) -> None:
        limits = self._spec.limits
        room = self._library.free() - limits.spare
        if room <= 0:
            self._refuse_if_full(source.stat().st_size)
        told = self._percent(f"Converting {disk} to qcow2")
        try:
            confined.convert(source, disk, made, most=min(room, limits.file), progress=told)
        except (confined.TooLarge, confined.NoSpace) as error:
            if isinstance(error, confined.TooLarge) and limits.file <= room:
                raise BadImage(
                    f"Converted to qcow2 it is larger than the {words(limits.file)} an image may "
                    "have here.",
                    code="image_too_large",
                    remedy="Make it smaller, or ask an operator to raise the limit.",
                ) from error
            made.unlink(missing_ok=True)
            raise full(self._library.root, max(room, 0) + limits.spare, limits.file) from error

    def _digest(self, made: Path) -> str:
        told = self._percent("Reading the new image")
        digest, size, done = hashlib.sha256(), made.stat().st_size, 0
        with made.open("rb") as file:
            os.fsync(file.fileno())
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                done += len(chunk)
                told(done * 100 // size)
        self._report(Step(key="image.digest", sentence=f"The image has {words(size)}"))
        return digest.hexdigest()

    def _keep(self, made: Path, facts: Facts) -> None:
        """The file first: facts without a file say nothing, and are then written anew."""
        made.chmod(FILE_MODE)
        if os.geteuid() == 0:
            os.chown(made, 0, 0)
        made.replace(self._library.image(self._spec.subject))
        write_durably(self._library.facts(self._spec.subject), msgspec.json.encode(facts))

    def _refuse_if_full(self, needed: int) -> None:
        free, spare = self._library.free(), self._spec.limits.spare
        if free < needed + spare:
            raise full(self._library.root, free, needed + spare)

    def _watch_space(self, written: int) -> None:
        """Look again whenever as much as the reserve may have been written."""
        self._refuse_if_stopped()
        self._unwatched += written
        if self._unwatched > _LOOK_EVERY:
            self._unwatched = 0
            self._refuse_if_full(0)

    def _refuse_if_stopped(self) -> None:
        if self._library.stopped(self._spec.subject).exists():
            raise Stopped("It was cancelled.")

    def _percent(self, sentence: str) -> Callable[[int], None]:
        """Tells a percentage, each value once."""
        told = -1

        def tell(percent: int) -> None:
            nonlocal told
            self._refuse_if_stopped()
            if percent > told:
                told = percent
                self._report(
                    Step(
                        key=self._key,
                        sentence=sentence,
                        state="running",
                        percent=min(percent, 100),
                    )
                )

        return tell


def _write(file: IO[bytes], chunk: bytes, digest: Digest) -> None:
    file.write(chunk)
    digest.update(chunk)


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _private(path: Path) -> IO[bytes]:
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, FILE_MODE), "wb")


def _facts(path: Path) -> Facts | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Facts)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _note_of(desk: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode((desk / "note.json").read_bytes(), type=dict[str, str])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}


def _details(found: dict[str, Any]) -> dict[str, Any]:
    details: dict[str, Any] = found.get("format-specific", {}).get("data", {})
    return details


def _clear(library: Library, subject: str) -> None:
    library.upload(subject).unlink(missing_ok=True)
    library.stopped(subject).unlink(missing_ok=True)
    shutil.rmtree(library.desk(subject), ignore_errors=True)


def _delete(library: Library, subject: str) -> None:
    library.image(subject).unlink(missing_ok=True)
    library.facts(subject).unlink(missing_ok=True)
