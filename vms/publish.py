"""Public images: a qcow2 file and the facts beside it become an image everybody may use."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import msgspec
from django.db import transaction

from kvmweb.core.errors import Invalid
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

    An image of that name with other content stays, for the VMs that stand on it, under a name of
    its own. Doing it twice is doing it once.
    """
    values = {
        "description": description,
        "size_bytes": facts.size_bytes,
        "virtual_size_bytes": facts.virtual_size_bytes,
        "source": str(source),
        "min_memory_mib": facts.min_memory_mib,
        "default_user": facts.default_user,
    }
    with transaction.atomic():
        for older in Image.objects.filter(project=None, name=name).exclude(sha256=facts.sha256):
            older.name = f"{name}-{older.sha256[:8]}"
            older.save(update_fields=["name"])
        image, _made = Image.objects.update_or_create(
            project=None, name=name, sha256=facts.sha256, defaults=values
        )
    return image
