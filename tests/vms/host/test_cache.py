"""The cache of images: what nobody uses goes, the longest unused first; what is used never does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vms.host.drivers.cache import Kept, evict, to_evict, touch

pytestmark = pytest.mark.kernel

IMAGES = st.lists(
    st.builds(
        Kept,
        st.sampled_from([f"{n:064x}.qcow2" for n in range(8)]),
        st.integers(0, 100),
        st.integers(0, 50),
    ),
    unique_by=lambda image: image.name,
)


@given(IMAGES, st.frozensets(st.integers(0, 7)), st.integers(0, 400))
def test_the_longest_unused_go_until_the_rest_fits(
    kept: list[Kept], used: frozenset[int], limit: int
) -> None:
    in_use = frozenset(f"{n:064x}.qcow2" for n in used)
    gone = set(to_evict(kept, in_use, limit))
    assert not gone & in_use
    stay = [image for image in kept if image.name not in gone | in_use]
    assert sum(image.size for image in stay) <= limit
    newest_gone = max((image.used_at for image in kept if image.name in gone), default=-1)
    assert all(image.used_at >= newest_gone for image in stay)


def test_images_that_disks_or_specs_need_stay(tmp_path: Path) -> None:
    images, disks = tmp_path / "images", tmp_path / "disks"
    (disks / "vm").mkdir(parents=True)
    images.mkdir()
    names = [letter * 64 for letter in "abcd"]
    for number, name in enumerate(names):
        path = images / f"{name}.qcow2"
        qemu_img("-f", "qcow2", str(path), "1M")
        os.utime(path, (number, number))
    backing = images / f"{names[0]}.qcow2"
    qemu_img("-f", "qcow2", "-F", "qcow2", "-b", str(backing), str(disks / "vm" / "x.qcow2"))
    (disks / "vm" / "broken.qcow2").write_bytes(b"no qcow2")
    touch(images / f"{names[2]}.qcow2")
    one = (images / f"{names[2]}.qcow2").stat().st_blocks * 512
    assert evict(images, disks, wanted=[names[1]], limit=one) == (f"{names[3]}.qcow2",)
    assert evict(images, disks, wanted=[names[1]], limit=0) == (f"{names[2]}.qcow2",)
    left = sorted(path.name for path in images.iterdir())
    assert left == [f"{name}.qcow2" for name in names[:2]]


def qemu_img(*words: str) -> None:
    subprocess.run(["qemu-img", "create", "-q", *words], check=True)
