"""The commands a plan for an image is made of. Each says in a sentence what it did."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    url: str

    @property
    def sentence(self) -> str:
        return f"Fetched {self.url} with the right checksum"


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeUpload:
    @property
    def sentence(self) -> str:
        return "Took the upload, which is complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Convert:
    @property
    def sentence(self) -> str:
        return "Checked the image, and converted it to qcow2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clear:
    """What is left of the making, and of an upload."""

    @property
    def sentence(self) -> str:
        return "Removed what was in between"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteImage:
    @property
    def sentence(self) -> str:
        return "Deleted the image from the library"


Op = Download | TakeUpload | Convert | Clear | DeleteImage
