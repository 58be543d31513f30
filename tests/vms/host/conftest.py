"""One host per test process, and the images its VMs boot from."""

from __future__ import annotations

import fcntl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.libvirtd import LibvirtHost, libvirt_host
from vms.host.layout import Layout

ROOT = Path(__file__).parents[3]
BRIDGE = "kw1"


@pytest.fixture(scope="session")
def image() -> Path:
    """The built-in image, built when its inputs changed."""
    output = ROOT / ".cache/image/hello.qcow2"
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run([ROOT / "script/build-image", output], check=True, timeout=240)
    return output


@pytest.fixture(scope="session")
def empty_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with nothing in it: its guest never gets past the firmware, nor obeys a button."""
    path = tmp_path_factory.mktemp("images") / "empty.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "8M"], check=True)
    return path


@pytest.fixture(scope="session")
def host() -> Iterator[LibvirtHost]:
    """Its bridge is there as the network worker would have made it."""
    with libvirt_host() as host:
        host.add_bridge(BRIDGE)
        yield host


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(folder=tmp_path / "disks" / "one", images=tmp_path / "images")
