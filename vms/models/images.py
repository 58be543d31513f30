"""Images: what the disks of VMs are made from."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q

from kvmweb.core.access import User, is_operator
from kvmweb.core.choices import State
from kvmweb.jobs.models import heavy
from kvmweb.jobs.subjects import Subject
from kvmweb.projects.models import Project, seen_by, written_by
from vms.library.layout import Library

MIB = 1024 * 1024
GIB = 1024 * MIB
ISO = "iso"


class ImageQuerySet(models.QuerySet["Image"]):
    def visible_to(self, user: User) -> Self:
        """Public images (of no project) and those of the user's own projects."""
        if is_operator(user):
            return self.all()
        return self.filter(Q(project=None) | seen_by(user)).distinct()

    def writable_by(self, user: User) -> Self:
        return self.all() if is_operator(user) else self.filter(written_by(user))

    def usable(self) -> Self:
        """Those that new VMs can be made from."""
        return self.filter(present=True, deprecated_at=None).exclude(sha256="")

    def disks(self) -> Self:
        """Those that a VM can be made of."""
        return self.exclude(found_format=ISO)

    def isos(self) -> Self:
        """Those that go into a drive."""
        return self.filter(found_format=ISO)

    def for_display(self) -> Self:
        return self.select_related("project", "job").defer(*heavy("job"))


class Image(Subject):
    """A bootable disk image, known by its content. Without a project it is public.

    A new version of an image is a row of its own under the same name; its content never changes.
    `source` is where hosts find it when it is not in the library: an absolute path or an URL.
    `sha256` and what follows it are observed: they say that the image is there.
    """

    kind = "image"

    class Firmware(models.TextChoices):
        BOTH = "both", "BIOS and UEFI"
        BIOS = "bios", "BIOS"
        UEFI = "uefi", "UEFI only"

    class Origin(models.TextChoices):
        FILE = "file", "Given by an operator"
        URL = "url", "Imported"
        UPLOAD = "upload", "Uploaded"

    project = models.ForeignKey(
        Project, null=True, blank=True, on_delete=models.PROTECT, related_name="images"
    )
    name = models.CharField(max_length=63)
    version = models.PositiveIntegerField(default=1)
    description = models.CharField(max_length=200, blank=True)
    os = models.CharField("operating system", max_length=60, blank=True)
    default_user = models.CharField(max_length=32, blank=True)
    firmware = models.CharField(max_length=4, choices=Firmware.choices, default=Firmware.BIOS)
    speaks_cloud_init = models.BooleanField("speaks cloud-init", default=True)
    min_memory_mib = models.PositiveIntegerField("least memory (MiB)", default=128)
    least_disk_gib = models.PositiveIntegerField("least disk (GiB)", default=1)
    deprecated_at = models.DateTimeField(null=True, blank=True)

    origin = models.CharField(max_length=6, choices=Origin.choices, default=Origin.FILE)
    url = models.CharField("URL", max_length=500, blank=True)
    checksum = models.CharField(max_length=140, blank=True)
    checksum_url = models.CharField("URL of checksums", max_length=500, blank=True)
    upload_bytes = models.PositiveBigIntegerField(default=0)

    source = models.CharField(
        max_length=500,
        blank=True,
        help_text="Where hosts fetch it from: an absolute path or an http(s) URL.",
    )
    sha256 = models.CharField("SHA-256", max_length=64, blank=True)
    size_bytes = models.PositiveBigIntegerField(default=0)
    virtual_size_bytes = models.PositiveBigIntegerField(default=0)
    found_checksum = models.CharField(max_length=140, blank=True, editable=False)
    found_format = models.CharField(max_length=10, blank=True, editable=False)

    objects = ImageQuerySet.as_manager()

    class Meta:
        ordering = ["name", "-version"]
        constraints = [
            models.UniqueConstraint(
                fields=["name", "version"], condition=Q(project=None), name="public_image_name_once"
            ),
            models.UniqueConstraint(fields=["project", "name", "version"], name="image_name_once"),
        ]

    def __str__(self) -> str:
        return self.name if self.version == 1 else f"{self.name} (version {self.version})"

    @property
    def state(self) -> State:
        if not self.present or (self.job is not None and self.job.has_failed):
            return self.transition or State.DELETING
        if self.is_ready:
            return State.DEPRECATED if self.deprecated_at else State.READY
        return State.UPLOADING if self.is_awaited else State.IMPORTING

    @property
    def is_ready(self) -> bool:
        return bool(self.sha256)

    @property
    def is_iso(self) -> bool:
        """Whether it is a medium for a drive, as its content says."""
        return self.found_format == ISO

    @property
    def is_usable(self) -> bool:
        """Whether new VMs can be made from it."""
        return self.present and self.is_ready and self.deprecated_at is None

    @property
    def is_awaited(self) -> bool:
        """Whether its upload is not complete."""
        return self.origin == self.Origin.UPLOAD and self.present and not self.generation

    @property
    def min_disk_gib(self) -> int:
        return max(1, self.least_disk_gib, -(-self.virtual_size_bytes // GIB))

    @property
    def received_bytes(self) -> int:
        """How much of an upload has arrived."""
        if not self.is_awaited:
            return self.upload_bytes
        try:
            return library().upload(str(self.uuid)).stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def received_percent(self) -> int:
        return self.received_bytes * 100 // max(self.upload_bytes, 1)


def library() -> Library:
    """Where images are kept on this machine."""
    return Library(Path(settings.KVMWEB_IMAGES))
