"""Specs of VMs for the tests of this folder."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from vms.host.layout import Layout
from vms.host.spec import DiskSpec, ImageRef, NicSpec, SeedSpec, VmSpec

SUBJECT = "5fc7c1a0-6b1e-4bdc-8ec1-1d1f4c6f0a11"
LAYOUT = Layout(folder=Path("/srv/disks") / SUBJECT, images=Path("/srv/images"))
IMAGE = ImageRef(id="i1", name="hello", sha256="ab" * 32, size_bytes=1 << 20, source="/srv/hello")
NIC = NicSpec(id="n1", network="w1", bridge="kw1", tap="kt1", mac="52:54:00:00:00:01")
SEED = SeedSpec(instance_id=SUBJECT, hostname="hello", ssh_keys=("ssh-ed25519 AAAA me@home",))


def vm(**changes: Any) -> VmSpec:
    """A VM with one disk of an image, one NIC and a seed, but for the `changes`."""
    usual: dict[str, Any] = {
        "subject": SUBJECT,
        "epoch": 1,
        "generation": 1,
        "name": "hello",
        "domain": "hello",
        "disks": (DiskSpec(id="d1", size_gib=1, image=IMAGE),),
        "nics": (NIC,),
        "seed": SEED,
    }
    return VmSpec(**(usual | changes))


def image_of(path: Path, name: str = "test") -> ImageRef:
    """The reference to the image in `path`."""
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return ImageRef(id="i1", name=name, sha256=digest, size_bytes=len(content), source=str(path))
