"""From what an image should be and what there is to the operations that make it so. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vms.library.ops import Clear, Convert, DeleteImage, Download, Op, TakeUpload
from vms.library.spec import ImageSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A whole image in the library: what hosts are to find when they fetch it."""

    sha256: str
    size_bytes: int
    virtual_size_bytes: int
    found_checksum: str = ""
    found_format: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageState:
    """What there is of one image. `has_leftovers`: anything but the image itself."""

    facts: Facts | None = None
    has_file: bool = False
    has_source: bool = False
    has_leftovers: bool = False


def plan(spec: ImageSpec, state: ImageState) -> tuple[Op, ...]:
    """The operations that turn `state` into `spec`, in order; none when it is so already."""
    return tuple(_present(spec, state) if spec.present else _absent(state))


def _present(spec: ImageSpec, state: ImageState) -> Iterator[Op]:
    if state.facts is None:
        if not state.has_source:
            yield Download(url=spec.url) if spec.origin == "url" else TakeUpload()
        yield Convert()
        yield Clear()
    elif state.has_leftovers:
        yield Clear()


def _absent(state: ImageState) -> Iterator[Op]:
    if state.facts is not None or state.has_file:
        yield DeleteImage()
    if state.has_source or state.has_leftovers:
        yield Clear()
