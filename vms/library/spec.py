"""What an image of the library should be: plain, frozen, complete data, like `vms.host.spec`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Origin = Literal["url", "upload"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """In bytes: of a file that comes in or is kept, of the disk a guest sees, and the space that
    stays free on the library's disk whatever comes."""

    file: int
    disk: int
    spare: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Networks, as CIDR. Addresses that are not public are refused, and `forbidden` ones too;
    `allowed`, which an operator names, goes before both."""

    allowed: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSpec:
    """One image. `checksum` is `sha256:…` or `sha512:…` of what comes in; with an URL it may stand
    in the file at `checksum_url` instead. `upload_bytes` is how large a whole upload is.
    """

    subject: str
    epoch: int
    generation: int
    limits: Limits
    present: bool = True
    name: str = ""
    origin: Origin = "upload"
    url: str = ""
    checksum: str = ""
    checksum_url: str = ""
    upload_bytes: int = 0
    reach: Reach = Reach()
