"""Disks are overlays of their image, never smaller than it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.vms.host.vm_cases import image_of
from vms.host.drivers import images, qcow2, volumes
from vms.host.layout import Layout
from vms.host.spec import DiskSpec, ImageRef

pytestmark = pytest.mark.libvirt


def fetch(image: ImageRef, layout: Layout) -> None:
    images.fetch_image(image, layout, lambda _: None, lock_folder=layout.images)


def test_a_disk_is_an_overlay_of_its_image(empty_image: Path, layout: Layout) -> None:
    image = image_of(empty_image)
    fetch(image, layout)
    volumes.create_disk(DiskSpec(id="root", size_gib=1, image=image), layout)
    assert volumes.sizes(layout) == {"root.qcow2": 1 << 30}
    shown = subprocess.run(
        ["qemu-img", "info", "-f", "qcow2", layout.disk("root")],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert f"backing file: {layout.image(image.sha256)}\nbacking file format: qcow2" in shown


def test_a_disk_smaller_than_its_image_is_refused(tmp_path: Path, layout: Layout) -> None:
    large = tmp_path / "large.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", large, "5G"], check=True)
    image = image_of(large)
    fetch(image, layout)
    with pytest.raises(volumes.DiskTooSmall, match="5 GiB") as caught:
        volumes.create_disk(DiskSpec(id="root", size_gib=2, image=image), layout)
    assert caught.value.remedy == "Choose at least 5 GiB."
    assert volumes.sizes(layout) == {}


def test_a_header_that_is_no_qcow2_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"short")
    with pytest.raises(qcow2.NotQcow2):
        qcow2.virtual_size(path)
