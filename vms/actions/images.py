"""What people ask of images: bring one in, say what it is, replace, deprecate, delete it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max, Q, Sum
from django.utils import timezone

from kvmweb.core.access import get_for, is_operator
from kvmweb.core.errors import Conflict, Forbidden, Invalid, NotFound
from kvmweb.core.locks import lock
from kvmweb.core.text import parse_label
from kvmweb.jobs import notify
from kvmweb.jobs.dispatch import request
from kvmweb.jobs.models import Job, Status
from kvmweb.projects.actions import Actor, audit, project_for
from kvmweb.projects.models import Project
from vms.catalogue import Listed
from vms.library.checksums import parse_checksum
from vms.library.failures import words
from vms.models import GIB, Image, Vm, library
from vms.spec_from_images import limits

_LONGEST_URL = 500
_SHOWN = 5
ABANDONED = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewImage:
    """All that is said of a new image. With `replaces` it is that image's next version and takes
    from it what is None here. `public` is for operators.
    """

    name: str | None = None
    replaces: UUID | str | None = None
    project: UUID | str | None = None
    public: bool = False
    description: str | None = None
    os: str | None = None
    default_user: str | None = None
    firmware: str | None = None
    speaks_cloud_init: bool | None = None
    min_memory_mib: int | None = None
    least_disk_gib: int | None = None
    checksum: str = ""


FACTS = (
    "description",
    "os",
    "default_user",
    "firmware",
    "speaks_cloud_init",
    "min_memory_mib",
    "least_disk_gib",
)


def import_image(actor: Actor, wanted: NewImage, *, url: str, checksum_url: str = "") -> Image:
    """An image that the library fetches from `url`; its checksum is given or published."""
    with transaction.atomic():
        _refuse_url(url, "url")
        if checksum_url:
            _refuse_url(checksum_url, "checksum_url")
        image = _new(actor, wanted, origin=Image.Origin.URL, url=url, checksum_url=checksum_url)
        if not image.checksum and not checksum_url:
            raise Invalid(
                "Without a checksum nobody would notice a wrong or forged image.",
                field="checksum",
                remedy="Give its SHA-256 or SHA-512, or where its publisher lists it.",
            )
        _refuse_full(0)
        _insert(image)
        job = request(actor, image, f"Import image {image}")
        audit(actor, "image.import", image, project=image.project, job=job.uuid, url=url)
    return image


def import_listed(actor: Actor, entry: Listed, **said: Any) -> Image:
    """An image of the catalogue; `said` goes before what is listed."""
    known: dict[str, Any] = {
        "os": entry.os,
        "default_user": entry.default_user,
        "firmware": Image.Firmware.BOTH,
        "speaks_cloud_init": True,
        "min_memory_mib": entry.min_memory_mib,
        "least_disk_gib": entry.min_disk_gib,
    }
    if not said.get("replaces"):
        known["name"] = entry.name
    wanted = NewImage(**(known | said))
    return import_image(actor, wanted, url=entry.url, checksum_url=entry.checksum_url)


def upload_image(actor: Actor, wanted: NewImage, *, upload_bytes: int) -> Image:
    """An image whose content is about to be sent by `receive`, all of `upload_bytes`."""
    with transaction.atomic():
        if not 0 < upload_bytes <= limits().file:
            raise Invalid(
                f"An image may have up to {words(limits().file)} here.", field="upload_bytes"
            )
        image = _new(actor, wanted, origin=Image.Origin.UPLOAD, upload_bytes=upload_bytes)
        _refuse_full(upload_bytes)
        _refuse_over_quota(image.project, upload_bytes)
        _insert(image)
        audit(actor, "image.upload", image, project=image.project, bytes=upload_bytes)
        transaction.on_commit(lambda: _announce(image))
    return image


def receive(actor: Actor, uuid: UUID | str, *, offset: int, chunks: Iterable[bytes]) -> Image:
    """Take the next part of an upload, which begins at byte `offset`.

    What arrived before a connection broke off stays; `Image.received_bytes` says where to go on.
    """
    image = get_for(actor.user, Image, uuid, write=True)
    if not image.is_awaited:
        raise Conflict("This image waits for no upload.", code="not_uploading")
    received = _append(image, offset, chunks)
    if not Image.objects.filter(pk=image.pk, present=True).exists():
        # It was deleted meanwhile, perhaps with its file: no other one may stay.
        library().upload(str(image.uuid)).unlink(missing_ok=True)
        raise NotFound("There is no such image.")
    if received == image.upload_bytes:
        return _complete(actor, image)
    return image


def change_image(actor: Actor, uuid: UUID | str, **changes: Any) -> Image:
    """Say otherwise what an image is; its content stays."""
    with transaction.atomic():
        image = _locked(actor, uuid)
        before = {name: getattr(image, name) for name in changes}
        for name, value in changes.items():
            setattr(image, name, value)
        image.save(update_fields=list(changes))
        audit(actor, "image.change", image, project=image.project, before=before)
        transaction.on_commit(lambda: _announce(image))
    return image


def deprecate_image(actor: Actor, uuid: UUID | str, *, deprecated: bool = True) -> Image:
    """Take an image out of the choice for new VMs, or put it back. VMs of it go on."""
    with transaction.atomic():
        image = _locked(actor, uuid)
        image.deprecated_at = timezone.now() if deprecated else None
        image.save(update_fields=["deprecated_at"])
        verb = "deprecate" if deprecated else "offer"
        audit(actor, f"image.{verb}", image, project=image.project)
        transaction.on_commit(lambda: _announce(image))
    return image


def delete_image(actor: Actor, uuid: UUID | str) -> Image:
    """Remove an image that no VM stands on. One that is being made is cancelled."""
    with transaction.atomic():
        image = _locked(actor, uuid)
        _refuse_in_use(actor, image)
        image.present = False
        image.save(update_fields=["present"])
        if _is_being_made(image):
            transaction.on_commit(lambda: _stop(image))
        job = request(actor, image, f"Delete image {image}")
        audit(actor, "image.delete", image, project=image.project, job=job.uuid)
    return image


def library_seen_at() -> datetime | None:
    """When the worker of the library gave its last sign of life."""
    try:
        return datetime.fromtimestamp(library().pulse.stat().st_mtime, UTC)
    except FileNotFoundError:
        return None


def _stop(image: Image) -> None:
    library().make()
    library().stopped(str(image.uuid)).touch()


def _is_being_made(image: Image) -> bool:
    running = Job.objects.of(Image.kind, image.uuid).filter(status=Status.RUNNING)
    return not image.is_ready and running.exists()


def forget_uploads() -> None:
    """Remove uploads of which nothing has arrived for a week: their half takes space."""
    limit = timezone.now() - ABANDONED
    stale = Image.objects.filter(
        origin=Image.Origin.UPLOAD, generation=0, present=True, created_at__lt=limit
    )
    for pk in [image.pk for image in stale if _arrived_at(image) < limit.timestamp()]:
        with transaction.atomic():
            image = lock(Image.objects.all()).get(pk=pk)
            if image.is_awaited:
                image.present = False
                image.save(update_fields=["present"])
                job = request(None, image, f"Remove the abandoned upload of {image}")
                audit(None, "image.abandon", image, project=image.project, job=job.uuid)


def _arrived_at(image: Image) -> float:
    """When something of it arrived last, in seconds since 1970."""
    try:
        return library().upload(str(image.uuid)).stat().st_mtime
    except FileNotFoundError:
        return 0.0


def users_of(actor: Actor, image: Image) -> tuple[list[Vm], bool]:
    """The VMs on this image that the actor may see, and whether there are others."""
    stands = Q(disks__image=image) | Q(iso=image) | Q(rescue=image)
    users = Vm.objects.filter(stands).distinct()
    seen = list(Vm.objects.visible_to(actor.user).filter(stands).distinct())
    return seen, users.count() > len(seen)


def free_bytes() -> int:
    """What new images may still take: free space without the reserve and what is announced."""
    pending = Image.objects.filter(origin=Image.Origin.UPLOAD, generation=0, present=True)
    awaited = sum(max(0, image.upload_bytes - image.received_bytes) for image in pending)
    library().make()
    return max(0, library().free() - limits().spare - awaited)


def _new(actor: Actor, wanted: NewImage, **content: Any) -> Image:
    """The row, not yet inserted."""
    older = _replaced(actor, wanted)
    project = older.project if older else _owner(actor, wanted)
    if project is not None:
        project = lock(Project.objects.all()).get(pk=project.pk)
    name = older.name if older else parse_label(wanted.name or "")
    facts = {fact: _said(wanted, older, fact) for fact in FACTS}
    same = Image.objects.filter(project=project, name=name)
    newest = same.aggregate(newest=Max("version"))["newest"] or 0
    if newest and older is None:
        raise Conflict(
            f"There is an image “{name}” already.",
            field="name",
            code="name_taken",
            remedy="Choose another name, or replace that image by a new version.",
        )
    return Image(
        project=project,
        name=name,
        version=newest + 1,
        checksum=parse_checksum(wanted.checksum),
        **{fact: value for fact, value in facts.items() if value is not None},
        **content,
    )


def _said(wanted: NewImage, older: Image | None, fact: str) -> Any:
    said = getattr(wanted, fact)
    return getattr(older, fact) if said is None and older else said


def _replaced(actor: Actor, wanted: NewImage) -> Image | None:
    if wanted.replaces is None:
        return None
    older = get_for(actor.user, Image, wanted.replaces, write=True)
    if not older.present:
        raise Conflict(f"Image “{older}” is being deleted.", field="replaces", code="deleting")
    return older


def _owner(actor: Actor, wanted: NewImage) -> Project | None:
    if not wanted.public:
        return project_for(actor, wanted.project)
    if not is_operator(actor.user):
        raise Forbidden("Only operators make images for everybody.", field="public")
    return None


def _insert(image: Image) -> None:
    try:
        with transaction.atomic():
            image.save()
    except IntegrityError as error:
        raise Conflict(
            f"There is an image “{image}” already.", field="name", code="name_taken"
        ) from error


def _refuse_url(url: str, field: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or len(url) > _LONGEST_URL or not url.isascii() or url != url.strip():
        raise Invalid("Write an address that begins with https:// or http://.", field=field)


def _refuse_full(needed: int) -> None:
    free = free_bytes()
    if free <= needed:
        raise Conflict(
            f"The image library has {words(free)} left for new images; "
            f"{words(needed) if needed else 'some space'} would be needed.",
            field="upload_bytes" if needed else "url",
            code="disk_full",
            remedy="Delete images that are no longer needed, or ask an operator for more space.",
        )


def _refuse_over_quota(project: Project | None, needed: int) -> None:
    if project is None:
        return
    used = project.images.aggregate(used=Sum("size_bytes"))["used"] or 0
    limit = settings.KVMWEB_IMAGE_PROJECT * GIB
    if used + needed > limit:
        raise Conflict(
            f"The images of this project take {words(used)} of the {words(limit)} they may take; "
            f"{words(needed)} more are asked for.",
            field="upload_bytes",
            code="over_quota",
            remedy="Delete images that are no longer needed.",
        )


def _append(image: Image, offset: int, chunks: Iterable[bytes]) -> int:
    """Write to the end of the upload's file, one request at a time; returns its size."""
    path = library().upload(str(image.uuid))
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                "Another request sends this upload just now.", code="upload_busy"
            ) from error
        size = os.fstat(descriptor).st_size
        if size != offset:
            raise Conflict(
                f"{size} bytes have arrived; the next part begins there and not at {offset}.",
                field="Upload-Offset",
                code="wrong_offset",
            )
        _write(file, image, size, chunks)
        file.flush()
        return os.fstat(descriptor).st_size


def _write(file: Any, image: Image, size: int, chunks: Iterable[bytes]) -> None:
    spare = limits().spare
    for chunk in chunks:
        size += len(chunk)
        if size > image.upload_bytes:
            raise Invalid(
                f"This is more than the {image.upload_bytes} bytes that were announced.",
                code="upload_too_long",
            )
        if library().free() < len(chunk) + spare:
            raise Conflict(
                f"The library's disk is full: {words(library().free())} are free, of which "
                f"{words(spare)} stay in reserve. {words(size - len(chunk))} have arrived.",
                code="disk_full",
                remedy="Go on with the upload when there is space again.",
            )
        file.write(chunk)


def _complete(actor: Actor, image: Image) -> Image:
    with transaction.atomic():
        row = _locked(actor, image.uuid)
        if row.is_awaited:
            job = request(actor, row, f"Import image {row}")
            audit(actor, "image.uploaded", row, project=row.project, job=job.uuid)
    return row


def _refuse_in_use(actor: Actor, image: Image) -> None:
    seen, others = users_of(actor, image)
    if not seen and not others:
        return
    named = [str(vm) for vm in seen[:_SHOWN]]
    if len(seen) > _SHOWN:
        named.append(f"{len(seen) - _SHOWN} more of yours")
    if others:
        named.append("VMs of other projects")
    raise Conflict(
        f"Disks of VMs stand on image {image}: {', '.join(named)}.",
        code="image_in_use",
        remedy="Delete those VMs first, or deprecate the image: then no new ones are made of it.",
    )


def _locked(actor: Actor, uuid: UUID | str) -> Image:
    image = get_for(actor.user, Image, uuid, write=True, lock=True)
    if not image.present:
        raise Conflict(f"Image “{image}” is being deleted.", code="deleting")
    return image


def _announce(image: Image) -> None:
    notify.subject_changed(Image.kind, image.uuid, image.project_id)
