"""Images are checked on the way in, and there whole or not at all."""

from __future__ import annotations

import functools
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kvmweb.core.errors import HostError
from tests.libvirtd import LibvirtHost
from tests.vms.host.conftest import ROOT
from tests.vms.host.vm_cases import image_of
from vms.host.drivers import images
from vms.host.layout import Layout
from vms.host.spec import ImageRef

pytestmark = pytest.mark.libvirt


def fetch(image: ImageRef, layout: Layout) -> list[int]:
    told: list[int] = []
    images.fetch_image(image, layout, told.append, lock_folder=layout.images)
    return told


def refused(image: ImageRef, layout: Layout) -> HostError:
    with pytest.raises(HostError) as caught:
        fetch(image, layout)
    left = [path.name for path in layout.images.iterdir() if path.suffix != ".lock"]
    assert left == []
    return caught.value


def test_an_image_is_copied_once_with_its_progress(empty_image: Path, layout: Layout) -> None:
    image = image_of(empty_image)
    told = fetch(image, layout)
    assert told == sorted(set(told))
    assert told[-1] == 100
    assert layout.image(image.sha256).read_bytes() == empty_image.read_bytes()
    assert fetch(image, layout) == []


def test_a_wrong_checksum_is_refused(empty_image: Path, layout: Layout) -> None:
    error = refused(replace(image_of(empty_image), sha256="0" * 64), layout)
    assert (error.code, "SHA-256" in error.message) == ("image_checksum", True)


def test_a_file_that_is_gone_is_named(layout: Layout) -> None:
    image = ImageRef(id="i", name="old", sha256="0" * 64, size_bytes=1, source="/nowhere/old")
    error = refused(image, layout)
    assert (error.code, "/nowhere/old" in error.message) == ("image_missing", True)


@pytest.mark.parametrize("source", ["relative.qcow2", "ftp://127.0.0.1/x", "file:///etc/passwd"])
def test_other_sources_are_refused(source: str, layout: Layout) -> None:
    image = ImageRef(id="i", name="odd", sha256="0" * 64, size_bytes=1, source=source)
    assert refused(image, layout).code == "image_source"


def test_what_is_no_qcow2_is_refused(tmp_path: Path, layout: Layout) -> None:
    path = tmp_path / "raw.img"
    path.write_bytes(os.urandom(1 << 16))
    assert refused(image_of(path), layout).code == "image_format"


@pytest.mark.parametrize("options", [("-b", "/etc/passwd", "-F", "raw"), ("-o", "data_file=DATA")])
def test_an_image_that_points_at_other_files_is_refused(
    options: tuple[str, str], tmp_path: Path, layout: Layout
) -> None:
    path = tmp_path / "pointing.qcow2"
    data = tmp_path / "data"
    words = [word.replace("DATA", str(data)) for word in options]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *words, path, "1M"], check=True)
    assert refused(image_of(path), layout).code == "image_format"


def test_an_image_comes_over_http(empty_image: Path, layout: Layout, folder_url: str) -> None:
    image = replace(image_of(empty_image), source=f"{folder_url}/{empty_image.name}")
    assert fetch(image, layout)[-1] == 100
    missing = replace(image, sha256="1" * 64, source=f"{folder_url}/nothing")
    with pytest.raises(HostError, match="404") as caught:
        fetch(missing, layout)
    assert caught.value.retry


@pytest.fixture
def folder_url(empty_image: Path) -> Iterator[str]:
    make = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=str(empty_image.parent)
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), make) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


FULL = """
import sys
from pathlib import Path
from tests.vms.host.vm_cases import image_of
from vms.host.drivers import images, volumes
from vms.host.layout import Layout
from dataclasses import replace
room, source = Path(sys.argv[1]), Path(sys.argv[2])
layout = Layout(folder=room / "disks" / "one", images=room / "images")
for size in (None, 0):
    image = image_of(source)
    image = image if size is None else replace(image, size_bytes=size)
    try:
        images.fetch_image(image, layout, lambda _: None, lock_folder=room)
    except volumes.DiskFull as error:
        print(error.code, error.remedy != "", [p.name for p in layout.images.glob("*.part")])
"""


def test_a_full_disk_is_told_and_nothing_is_left(host: LibvirtHost, tmp_path: Path) -> None:
    """Once seen before copying, and once when the room ran out in the middle."""
    source = tmp_path / "source.qcow2"
    source.write_bytes(os.urandom(68 << 20))
    room = tmp_path / "room"
    room.mkdir()
    script = 'mount -t tmpfs -o size=66m room "$1"; exec "$0" -c "$3" "$1" "$2"'
    said = host.run(
        *("unshare", "--mount", "sh", "-ec", script),
        *(sys.executable, room, source, FULL),
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert said == "disk_full True []\n" * 2
