"""The NoCloud seed: a small ISO 9660 image with the label `cidata`, made in memory.

Its secrets are never in a file that others may read. The digest of the content stands in the
volume's application identifier (ECMA-119, 8.4.20), so what is on a seed can be told without
reading it all.
"""

from __future__ import annotations

import io
from pathlib import Path

import pycdlib

from kvmweb.host.files import write_durably
from vms.host.cloud_init import digest, documents
from vms.host.spec import SeedSpec

_SECTOR = 2048
_VOLUME_DESCRIPTOR = 16 * _SECTOR
_APPLICATION = slice(574, 702)


def write(path: Path, seed: SeedSpec) -> None:
    """Write or replace the seed; a guest that runs keeps what it has until it starts anew."""
    write_durably(path, image(seed))


def image(seed: SeedSpec) -> bytes:
    """The bytes of the ISO."""
    iso = pycdlib.PyCdlib()
    iso.new(
        interchange_level=3,
        joliet=3,
        rock_ridge="1.09",
        vol_ident="cidata",
        app_ident_str=digest(seed).upper(),
    )
    for name, text in documents(seed).items():
        content = text.encode()
        iso.add_fp(
            io.BytesIO(content),
            len(content),
            f"/{name.upper().replace('-', '')};1",
            rr_name=name,
            joliet_path=f"/{name}",
        )
    file = io.BytesIO()
    iso.write_fp(file)
    iso.close()
    return file.getvalue()


def read_digest(path: Path) -> str:
    """The digest of the seed in `path`; empty when there is none or it is no seed of ours."""
    try:
        with path.open("rb") as file:
            file.seek(_VOLUME_DESCRIPTOR)
            descriptor = file.read(_SECTOR)
    except FileNotFoundError:
        return ""
    return descriptor[_APPLICATION].decode("ascii", "replace").strip().lower()
