"""Why an image does not come into the library, each with a code and what to do about it."""

from __future__ import annotations

from pathlib import Path

from kvmweb.core.errors import HostError

CONVERT = "Convert it to qcow2 first: qemu-img convert -O qcow2 OLD NEW."


class BadImage(HostError):
    """What came is no image that can be used, and never will be; `code` says in which way."""

    code = "image_unusable"


class CannotFetch(HostError):
    """The address may not be asked, or what it answers is no file."""

    code = "image_source"


class Unreachable(HostError):
    """It could not be fetched now."""

    code = "image_unreachable"
    retry = True


class LibraryFull(HostError):
    code = "disk_full"


def full(folder: Path, free: int, needed: int) -> LibraryFull:
    return LibraryFull(
        f"The library's disk is too full: {words(free)} are free in {folder}, "
        f"{words(needed)} are needed.",
        remedy="Delete images that are no longer needed, or give the library more space.",
    )


def too_large(limit: int) -> BadImage:
    return BadImage(
        f"The file is larger than the {words(limit)} an image may have here.",
        code="image_too_large",
        remedy="Make it smaller, or ask an operator to raise the limit.",
    )


def words(size: int) -> str:
    """Bytes for people."""
    amount, unit = float(size), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if amount >= 10 or unit == "B" else f"{amount:.1f} {unit}"
