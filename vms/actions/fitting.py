"""What holds for every VM that is made or changed: its image, its size, its name."""

from __future__ import annotations

from uuid import UUID

from kvmweb.core.access import get_for
from kvmweb.core.errors import Conflict, Invalid, NotFound
from kvmweb.hosts.facts import total_cpus, total_memory_mib
from kvmweb.hosts.models import Host
from kvmweb.projects.actions import Actor
from kvmweb.projects.models import Project
from vms.models import Image, Vm

# Asked of a host that has not said yet how much it has.
LARGEST_MEMORY_MIB = 16 * 1024 * 1024


def chosen_image(
    actor: Actor, wanted: UUID | str, owner: Project, *, iso: bool | None = False
) -> Image:
    """The image of this UUID or, as people type it, the newest of this name: the project's own,
    else one for everybody. Its lock keeps it from being deleted meanwhile. It is an ISO or none, as
    `iso` says; None takes both.
    """
    named = Image.objects.visible_to(actor.user).filter(name=str(wanted))
    usable = named.usable()
    found = usable.filter(project=owner).first() or usable.filter(project=None).first()
    found = found or usable.first() or named.first()
    try:
        image = get_for(actor.user, Image, found.uuid if found else wanted, lock=True)
    except NotFound as error:
        raise Invalid(
            "There is no such image.",
            field="image",
            code="no_such_image",
            remedy="Choose one of the images listed.",
        ) from error
    _refuse_image(image)
    if iso is not None and iso != image.is_iso:
        raise Conflict(
            f"Image {image} is {'an ISO, which goes into a drive' if image.is_iso else 'no ISO'}.",
            field="image",
            code="image_is_iso" if image.is_iso else "image_is_no_iso",
            remedy="Choose another one.",
        )
    return image


def _refuse_image(image: Image) -> None:
    if not image.is_ready or not image.present:
        raise Conflict(
            f"Image {image} is not there yet or no longer.", field="image", code="image_not_ready"
        )
    if image.deprecated_at is not None:
        raise Conflict(
            f"Image {image} is deprecated: no new VMs are made of it.",
            field="image",
            code="image_deprecated",
            remedy="Choose its newest version.",
        )
    if image.firmware == Image.Firmware.UEFI:
        raise Conflict(
            f"Image {image} starts by UEFI only, and VMs here start by BIOS.",
            field="image",
            code="image_needs_uefi",
            remedy="Choose an image that starts by BIOS too.",
        )


def refuse_size(host: Host, vcpus: int, memory_mib: int, image: Image) -> None:
    cpus, memory = total_cpus(host), total_memory_mib(host) or LARGEST_MEMORY_MIB
    if vcpus < 1 or vcpus > (cpus or 64):
        raise Invalid(f"A VM here has 1 to {cpus or 64} vCPUs.", field="vcpus")
    if memory_mib < image.min_memory_mib:
        raise Invalid(
            f"Image {image} needs at least {image.min_memory_mib} MiB.", field="memory_mib"
        )
    if memory_mib > memory:
        raise Invalid(
            f"The host has {memory} MiB of memory.",
            field="memory_mib",
            code="more_than_the_host_has",
            remedy="Ask for less.",
        )


def free_vm_name(project: Project, label: str, own: Vm | None = None) -> str:
    others = project.vms.filter(name=label, present=True)
    taken = (others.exclude(pk=own.pk) if own else others).first()
    if taken is not None:
        place = "in the recycle bin" if taken.goes_at else "in this project"
        raise Conflict(
            f"There is a VM “{label}” {place}.",
            field="name",
            code="name_taken",
            remedy="Take it back or delete it for good, or choose another name."
            if taken.goes_at
            else "",
        )
    return label
