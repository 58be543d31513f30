"""Row of an image -> the spec for the image library; and what the library answered -> rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from django.conf import settings
from django.utils import timezone

from kvmweb.host.progress import Outcome
from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.jobs.own import LIBRARY, own_key
from kvmweb.jobs.subjects import Destination, SubjectKind
from networks.models import Network
from vms.library.plan import Facts
from vms.library.spec import ImageSpec, Limits, Reach
from vms.models import GIB, Image


def destination(_image: Image) -> Destination:
    return Destination(LIBRARY, own_key(LIBRARY))


def build_spec(image: Image) -> dict[str, Any]:
    """The newest generation of this image as data."""
    spec = ImageSpec(
        subject=str(image.uuid),
        epoch=settings.KVMWEB_EPOCH,
        generation=image.generation,
        present=image.present,
        name=image.name,
        origin="url" if image.origin == Image.Origin.URL else "upload",
        url=image.url,
        checksum=image.checksum,
        checksum_url=image.checksum_url,
        upload_bytes=image.upload_bytes,
        limits=limits(),
        reach=Reach(
            allowed=tuple(settings.KVMWEB_IMAGE_SOURCES), forbidden=tuple(sorted(set(_own())))
        ),
    )
    return msgspec.to_builtins(spec)  # type: ignore[no-any-return]


def limits() -> Limits:
    return Limits(
        file=settings.KVMWEB_IMAGE_LARGEST * GIB,
        disk=settings.KVMWEB_IMAGE_LARGEST_DISK * GIB,
        spare=settings.KVMWEB_IMAGE_SPARE * GIB,
    )


def _own() -> Iterator[str]:
    """The panel's own networks, public ones included: nothing in them is fetched."""
    for ipv4, ipv6 in Network.objects.values_list("ipv4_subnet", "ipv6_subnet"):
        yield from filter(None, (ipv4, ipv6))
    yield from PublicAddress.objects.values_list("address", flat=True)
    for subnets, prefixes in Host.objects.values_list("routed_subnets", "routed_prefixes6"):
        yield from (*subnets, *prefixes)


def record(image: Image, outcome: Outcome) -> None:
    """Note what is in the library. A new version takes the place of the ones before."""
    if not image.present:
        if outcome.generation >= image.generation:
            image.delete()
        return
    facts = msgspec.convert(outcome.observed, Facts)
    fresh = not image.is_ready
    image.applied_generation = max(image.applied_generation, outcome.generation)
    for name in _FACTS:
        setattr(image, name, getattr(facts, name))
    image.save(update_fields=["applied_generation", *_FACTS])
    if fresh:
        older = Image.objects.filter(
            project=image.project, name=image.name, version__lt=image.version, deprecated_at=None
        )
        older.update(deprecated_at=timezone.now())


_FACTS = ("sha256", "size_bytes", "virtual_size_bytes", "found_checksum", "found_format")

KIND = SubjectKind(
    model=Image,
    worker="images",
    task="images.apply",
    destination=destination,
    build_spec=build_spec,
    record=record,
)
