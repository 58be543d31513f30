"""Public images: a qcow2 file and the facts beside it become an image everybody may use."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import msgspec
from django.db import transaction
from django.utils import timezone

from kvmweb.core.errors import Invalid
from kvmweb.core.locks import lock
from vms.models import Image


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What `script/build-image` writes beside an image, as far as the catalogue needs it."""

    sha256: str
    size_bytes: int
    virtual_size_bytes: int
    min_memory_mib: int
    default_user: str


def read_facts(image: Path) -> ImageFacts:
    """The facts in the `.json` file beside `image`. Raises Invalid."""
    file = image.with_suffix(".json")
    try:
        return msgspec.convert(json.loads(file.read_text()), ImageFacts)
    except (OSError, ValueError) as error:
        raise Invalid(f"{file} does not describe an image: {error}", field="source") from error


def publish(name: str, source: Path, facts: ImageFacts, *, description: str = "") -> Image:
    """The public image `name`, with this content from now on.

    One of that name with other content stays, for the VMs that stand on it, as an older version
    that no new VMs are made of. Doing it twice is doing it once.
    """
    values = {
        "description": description,
        "size_bytes": facts.size_bytes,
        "virtual_size_bytes": facts.virtual_size_bytes,
        "source": str(source),
        "min_memory_mib": facts.min_memory_mib,
        "default_user": facts.default_user,
        "deprecated_at": None,
    }
    with transaction.atomic():
        same = lock(Image.objects.filter(project=None, name=name, present=True))
        older = list(same.exclude(sha256=facts.sha256))
        for image in older:
            image.deprecated_at = image.deprecated_at or timezone.now()
            image.save(update_fields=["deprecated_at"])
        version = max((image.version for image in older), default=0) + 1
        published, _made = Image.objects.update_or_create(
            project=None,
            name=name,
            sha256=facts.sha256,
            defaults=values,
            create_defaults={**values, "version": version},
        )
    return published
