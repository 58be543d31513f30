"""The built-in image, booted for real by plain QEMU: what a cloud image promises, it keeps."""

from __future__ import annotations

import fcntl
import io
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pycdlib
import pytest

from vms.builtin.build import stamp_of

ROOT = Path(__file__).parents[2]
BOOT_SECONDS = 60
POWER_OFF_SECONDS = 30
pytestmark = [pytest.mark.libvirt, pytest.mark.timeout(300)]

VENDOR_DATA = """#cloud-config
ssh_authorized_keys:
  - {key}
users:
  - default
  - name: root
    ssh_authorized_keys:
      - {key}
"""
USER_DATA = "#!/bin/sh\necho once >>/root/ran\nhostname >/root/name\n"


class Guest:
    """One boot of the image under QEMU, with its ports forwarded to loopback ones."""

    def __init__(self, disk: Path, seed: Path) -> None:
        self.log = disk.with_suffix(".log")
        self._qmp_path = disk.with_suffix(".qmp")
        self._qmp_path.unlink(missing_ok=True)
        self.log.unlink(missing_ok=True)
        self.http, self.ssh, self.echo = _free_ports()
        forwards = f"hostfwd=tcp:127.0.0.1:{self.http}-:80,hostfwd=tcp:127.0.0.1:{self.ssh}-:22"
        forwards += f",hostfwd=udp:127.0.0.1:{self.echo}-:7"
        self.process = subprocess.Popen(
            [
                *("qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-m", "96"),
                *("-nodefaults", "-display", "none", "-serial", f"file:{self.log}"),
                *("-qmp", f"unix:{self._qmp_path},server=on,wait=off"),
                *("-drive", f"if=virtio,format=qcow2,cache=unsafe,file={disk}"),
                *("-drive", f"if=virtio,format=raw,readonly=on,file={seed}"),
                *("-netdev", f"user,id=net,{forwards}"),
                *("-device", "virtio-net-pci,netdev=net,romfile="),
            ]
        )

    def get(self, method: str = "GET") -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.http}/"
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=5) as page:
            return page.status, page.read().decode()

    def run(self, key: Path, user: str, command: str) -> str:
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes")
        words = [word for option in options for word in ("-o", option)]
        words += ["-o", "LogLevel=ERROR", "-i", str(key), "-p", str(self.ssh)]
        target = f"{user}@127.0.0.1"
        done = subprocess.run(
            ["ssh", *words, target, command],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def echoed(self, client: socket.socket, datagram: bytes) -> bytes:
        client.settimeout(10)
        client.sendto(datagram, ("127.0.0.1", self.echo))
        return client.recv(2048)

    def press_power_button(self) -> None:
        with socket.socket(socket.AF_UNIX) as qmp:
            qmp.connect(str(self._qmp_path))
            answers = qmp.makefile("r")
            answers.readline()
            for command in ("qmp_capabilities", "system_powerdown"):
                qmp.sendall(json.dumps({"execute": command}).encode())
                answers.readline()

    def wait_for(self, line: str) -> None:
        _eventually(lambda: line in self.log.read_text(errors="replace"), f"“{line}” on {self.log}")


@contextmanager
def _booted(disk: Path, seed: Path) -> Iterator[Guest]:
    guest = Guest(disk, seed)
    try:
        yield guest
    finally:
        guest.process.kill()
        guest.process.wait()


def _free_ports() -> tuple[int, int, int]:
    kinds = (socket.SOCK_STREAM, socket.SOCK_STREAM, socket.SOCK_DGRAM)
    probes = [socket.socket(socket.AF_INET, kind) for kind in kinds]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    http, ssh, echo = (probe.getsockname()[1] for probe in probes)
    for probe in probes:
        probe.close()
    return http, ssh, echo


def _eventually(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + BOOT_SECONDS
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"not seen within {BOOT_SECONDS} s: {what}")


@pytest.fixture(scope="session")
def image() -> Path:
    """The image in the checkout's cache, built when its inputs changed."""
    output = ROOT / ".cache/image/hello.qcow2"
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run([ROOT / "script/build-image", output], check=True, timeout=240)
    return output


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


@pytest.fixture(scope="module")
def seed(key: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = {
        "meta-data": "instance-id: one\nlocal-hostname: web1\n",
        "vendor-data": VENDOR_DATA.format(key=key.with_suffix(".pub").read_text().strip()),
        "user-data": USER_DATA,
    }
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident="cidata")
    for number, (name, text) in enumerate(files.items()):
        content = text.encode()
        iso.add_fp(
            io.BytesIO(content),
            len(content),
            f"/FILE{number}.;1",
            rr_name=name,
            joliet_path=f"/{name}",
        )
    path = tmp_path_factory.mktemp("seed") / "seed.iso"
    iso.write(str(path))
    iso.close()
    return path


def _disk(image: Path, directory: Path) -> Path:
    overlay = directory / "disk.qcow2"
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"]
    subprocess.run([*create, str(image), str(overlay), "1G"], check=True)
    return overlay


@pytest.fixture(scope="module")
def guest(image: Path, seed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    with _booted(_disk(image, tmp_path_factory.mktemp("guest")), seed) as started:
        started.wait_for("user-data ended with status 0")
        yield started


def test_the_page_names_the_guest_and_both_ends(guest: Guest) -> None:
    status, page = guest.get()

    first, mine, yours = page.splitlines()
    assert (status, first, mine) == (200, "Hello from web1", "my address: 10.0.2.15")
    assert yours.startswith("your address: 10.0.2.2:")


def test_a_head_request_gets_no_body(guest: Guest) -> None:
    assert guest.get("HEAD") == (200, "")


def test_many_requests_at_once_are_all_answered(guest: Guest) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: guest.get(), range(60)))

    assert {status for status, _ in answers} == {200}


def test_a_silent_client_keeps_nobody_waiting(guest: Guest) -> None:
    with socket.create_connection(("127.0.0.1", guest.http)):
        assert guest.get()[0] == 200


def test_udp_is_echoed_to_each_of_several_clients(guest: Guest) -> None:
    for client_number in range(3):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for packet_number in range(3):
                datagram = f"{client_number}/{packet_number}".encode()
                assert guest.echoed(client, datagram) == datagram


def test_the_serial_log_says_when_the_guest_is_ready(guest: Guest) -> None:
    assert "ready hostname=web1 address=10.0.2.15 after" in guest.log.read_text()


@pytest.mark.parametrize("user", ["guest", "root"])
def test_the_key_of_the_seed_opens_ssh(guest: Guest, key: Path, user: str) -> None:
    assert guest.run(key, user, "id -un && hostname").split() == [user, "web1"]


def test_the_power_button_ends_it_and_the_next_boot_repeats_nothing(
    image: Path, seed: Path, key: Path, tmp_path: Path
) -> None:
    disk = _disk(image, tmp_path)
    with _booted(disk, seed) as first:
        first.wait_for("user-data ended with status 0")
        first.press_power_button()
        assert first.process.wait(POWER_OFF_SECONDS) == 0

    with _booted(disk, seed) as again:
        again.wait_for("on /dev/ttyS0")
        assert again.get()[1].startswith("Hello from web1\n")
        ran = again.run(key, "root", "cat /root/ran /root/name; wc -l <~guest/.ssh/authorized_keys")
        assert ran.split() == ["once", "web1", "1"]


def test_an_image_of_unchanged_inputs_is_left_alone(image: Path) -> None:
    before = image.stat()

    done = subprocess.run([ROOT / "script/build-image", image], capture_output=True, check=True)

    assert b"up to date" in done.stdout
    assert (image.stat().st_ino, image.stat().st_mtime) == (before.st_ino, before.st_mtime)


def test_the_description_fits_the_image(image: Path) -> None:
    facts = json.loads(image.with_suffix(".json").read_text())

    assert facts["size_bytes"] == image.stat().st_size < 25_000_000
    assert facts["default_user"] == "guest"


def test_the_stamp_follows_the_packages() -> None:
    assert stamp_of("one") == stamp_of("one") != stamp_of("another")


def test_a_missing_output_directory_is_made_and_nothing_else_is_left(
    image: Path, tmp_path: Path
) -> None:
    output = tmp_path / "deep" / "hello.qcow2"

    subprocess.run([ROOT / "script/build-image", output], check=True, timeout=240)

    assert sorted(path.name for path in output.parent.iterdir()) == ["hello.json", "hello.qcow2"]
    assert output.read_bytes() == image.read_bytes()
    shutil.rmtree(output.parent)
