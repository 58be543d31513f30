"""Copies of disks and of their snapshots, with qemu-img itself; nobody else's tool reads qcow2."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.vms.host.vm_cases import image_of
from vms.host.drivers import copies, images, qcow2, space, volumes
from vms.host.layout import Layout, snapshot_name
from vms.host.room import LowSpace
from vms.host.spec import DiskSource, DiskSpec

pytestmark = pytest.mark.kernel
OTHER = "5fc7c1a0-6b1e-4bdc-8ec1-1d1f4c6f0a12"


def qemu_img(*arguments: str | Path) -> str:
    done = subprocess.run(["qemu-img", *arguments], check=True, capture_output=True, text=True)
    return done.stdout


def write(path: Path, text: str, at: str) -> None:
    """Fill 64 KiB of a disk with one character."""
    command = f"write -P {ord(text)} {at} 64k"
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", command, path], check=True, capture_output=True)


def reads(path: Path, text: str, at: str) -> bool:
    command = f"read -P {ord(text)} {at} 64k"
    done = subprocess.run(
        ["qemu-io", "-r", "-f", "qcow2", "-c", command, path], check=True, capture_output=True
    )
    return b"Pattern verification failed" not in done.stdout


@pytest.fixture
def base(tmp_path: Path, layout: Layout) -> DiskSpec:
    """A disk over an image, written to, with a snapshot `s1` and other content afterwards."""
    path = tmp_path / "image.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, "512M")
    write(path, "i", "0")
    image = image_of(path)
    images.fetch_image(image, layout, lambda _: None, lock_folder=layout.images)
    disk = DiskSpec(id="root", size_gib=1, image=image)
    volumes.create_disk(disk, layout)
    write(layout.disk("root"), "a", "1M")
    qemu_img("snapshot", "-c", snapshot_name("s1"), layout.disk("root"))
    write(layout.disk("root"), "b", "1M")
    return disk


@pytest.mark.parametrize(("snapshot", "content"), [("s1", "a"), ("", "b")])
@pytest.mark.parametrize("linked", [True, False])
def test_a_copy_has_what_its_source_had_and_stands_on_its_image_or_on_nothing(
    base: DiskSpec, layout: Layout, linked: bool, snapshot: str, content: str
) -> None:
    other = layout.beside(OTHER)
    source = DiskSource(vm=layout.folder.name, disk="root", snapshot=snapshot)
    image = base.image if linked else None
    told: list[int] = []
    copies.copy_disk(DiskSpec(id="c", size_gib=2, image=image, copy_of=source), other, told.append)
    path = other.disk("c")
    assert told[-1] == 100
    assert reads(path, content, "1M")
    assert reads(path, "i", "0")
    assert qcow2.virtual_size(path) == 2 << 30
    assert qcow2.snapshots(path) == ()
    assert qcow2.backing_file(path) == (str(layout.image(image.sha256)) if image else "")
    assert list(volumes.sizes(other)) == ["c.qcow2"]


def test_what_cannot_be_copied_is_said_and_leaves_nothing(base: DiskSpec, layout: Layout) -> None:
    other = layout.beside(OTHER)
    for source in (
        DiskSource(vm=layout.folder.name, disk="root", snapshot="gone"),
        DiskSource(vm=layout.folder.name, disk="gone"),
    ):
        with pytest.raises(copies.SourceGone):
            copies.copy_disk(DiskSpec(id="c", size_gib=2, copy_of=source), other, lambda _: None)
    assert volumes.sizes(other) == {}


def test_too_little_room_is_refused_with_the_figures(tmp_path: Path) -> None:
    needed = 1 << 60
    with pytest.raises(LowSpace, match=r"1073741824\.0 GiB are needed") as caught:
        space.refuse_if_full(tmp_path, needed, "copy the disk")
    there = os.statvfs(tmp_path)
    assert f"{there.f_bavail * there.f_frsize / (1 << 30):.0f}"[:-1] in caught.value.message


def test_snapshots_are_read_as_qemu_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "disk.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, "1G")
    assert qcow2.snapshots(path) == ()
    names = ["kvmweb-1", "by hand", "x" * 200, "ünï"]
    for name in names:
        qemu_img("snapshot", "-c", name, path)
        qemu_img("resize", "-q", "-f", "qcow2", path, "+1G")
    assert [each.name for each in qcow2.snapshots(path)] == names
    assert [each.size for each in qcow2.snapshots(path)] == [n << 30 for n in (1, 2, 3, 4)]
    short = path.read_bytes()[:70]
    path.write_bytes(short)
    with pytest.raises(qcow2.NotQcow2):
        qcow2.snapshots(path)
