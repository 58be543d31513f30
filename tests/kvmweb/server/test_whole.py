"""The one command, on a machine of the test's own: first start, second start, kill -9, reset."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from kvmweb.server.instance import Running, held
from kvmweb.server.places import CHECKOUT, Places
from tests.lab.panel import built_image
from tests.netns import Namespace, eventually, veth

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

ADDRESS = "198.51.100.11"
READY = "Logs follow"
SECONDS = 180.0
# A /run of its own: it hides the machine's libvirtd and goes with the last process in it.
_INSIDE = "mount -t tmpfs tmpfs /run && exec sleep infinity"


class Machine:
    """A machine with one uplink into the internet, on which nothing of kvmweb was ever started."""

    def __init__(self, namespace: Namespace, folder: Path) -> None:
        self.namespace = namespace
        self.places = Places(folder / "state")
        self._output = folder / "output"
        self._holder = namespace.start("unshare", "--mount", "sh", "-c", _INSIDE)
        self._server: subprocess.Popen[bytes] | None = None
        holder = Path(f"/proc/{self._holder.pid}/comm")
        assert eventually(lambda: holder.read_text() == "sleep\n"), "its /run is not there yet"

    def inside(self, *command: str) -> list[str]:
        target = f"--target={self._holder.pid}"
        return ["nsenter", target, "--mount", "--net", f"--wd={CHECKOUT}", "--", *command]

    def server(self, *options: str) -> list[str]:
        state = f"--state={self.places.state}"
        return self.inside(sys.executable, "-m", "kvmweb.server", state, *options)

    def start(self, *options: str) -> str:
        """Start it and return all it said until it was ready, or ended."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("KVMWEB_DATA")
        }
        with self._output.open("wb") as output:
            self._server = subprocess.Popen(
                self.server(*options), stdout=output, stderr=output, env=environment
            )
        server = self._server
        assert eventually(lambda: READY in self.said() or server.poll() is not None, SECONDS)
        return self.said()

    def said(self) -> str:
        return self._output.read_text()

    def stop(self, number: int = signal.SIGINT) -> float:
        """End it by a signal; how many seconds that took."""
        assert self._server is not None
        begun = time.monotonic()
        self._server.send_signal(number)
        self._server.wait(60)
        return time.monotonic() - begun

    def programs(self) -> list[str]:
        """The names of all processes of this machine, its guests included."""
        found = []
        for pid in self.namespace.pids():
            with suppress(FileNotFoundError):
                found.append(Path(f"/proc/{pid}/comm").read_text().strip())
        return sorted(found)

    def reset(self) -> str:
        done = subprocess.run(
            self.server("--reset", "--yes"), check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def internet() -> Iterator[Namespace]:
    with Namespace("inet") as namespace:
        yield namespace


@pytest.fixture(scope="module")
def machine(internet: Namespace) -> Iterator[Machine]:
    built_image()
    with (
        TemporaryDirectory(dir="/var/tmp", prefix="kwserver-") as folder,
        Namespace("one") as namespace,
    ):
        Path(folder).chmod(0o711)  # QEMU's user comes through here to its disks
        veth(internet, "w0", namespace, "up0")
        internet.ip("address add 198.51.100.1/24 dev w0")
        namespace.ip(f"address add {ADDRESS}/24 dev up0")
        namespace.ip("route add default via 198.51.100.1")
        yield Machine(namespace, Path(folder))


def fetch(client: Namespace, said: str) -> str:
    """The page, asked for from the internet at the address that the server named."""
    found = re.search(rf"http://{re.escape(ADDRESS)}:(\d+)/", said)
    assert found, said
    with client.connect(ADDRESS, int(found[1]), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        parts = iter(lambda: connection.recv(4096), b"")
        return b"".join(parts).decode()


def test_the_whole_way(machine: Machine, internet: Namespace) -> None:
    before = _kernel(machine)

    said = machine.start()
    assert "Making network demo, VM hello and a forward" in said
    assert "answered: Hello from hello" in said
    assert "Guests run by" in said
    assert re.search(r"Log in as admin with the password \S+", said)
    assert "Traceback" not in said
    page = fetch(internet, said)
    assert "your address: 198.51.100.1:" in page

    assert machine.stop() < 20
    assert {"dnsmasq", "kvmweb-dns", "libvirtd"} <= set(machine.programs())
    assert not {"redis-server", "python"} & set(machine.programs())
    assert "Hello from hello" in fetch(internet, said), "guests go on without the panel"

    again = machine.start()
    assert "VM hello is there already." in again
    assert "Log in as admin, as before." in again
    assert "password " not in again
    with pytest.raises(Running), held(machine.places.lock):
        pass

    machine.stop(signal.SIGKILL)
    after_kill = machine.start()
    assert READY in after_kill
    assert machine.programs().count("redis-server") == 1

    machine.namespace.run("iptables", "-P", "FORWARD", "DROP")
    machine.stop()
    behind_docker = machine.start()
    assert "chain ip filter FORWARD drops what is forwarded" in behind_docker
    assert "iptables-nft -I FORWARD -i kw+ -j ACCEPT" in behind_docker
    machine.namespace.run("iptables", "-P", "FORWARD", "ACCEPT")
    machine.namespace.nft("delete table ip filter")

    assert "removed" in machine.reset()
    assert not machine.places.state.exists()
    assert machine.programs() == ["sleep"]
    assert _kernel(machine) == before


def _kernel(machine: Machine) -> tuple[object, ...]:
    """What of the kernel a reset must put back."""
    names = [link["ifname"] for link in machine.namespace.ip("link show")]
    switches = ("ipv4/ip_forward", "ipv4/conf/up0/forwarding", "ipv4/conf/lo/forwarding")
    tables = [entry for entry in machine.namespace.nft("list tables") if "table" in entry]
    return names, [machine.namespace.sysctl(switch) for switch in switches], tables


def test_a_port_in_use_ends_the_start_with_one_sentence(machine: Machine) -> None:
    machine.namespace.tcp_server(8000)
    try:
        said = machine.start("--no-demo")
    finally:
        machine.namespace.close_servers()
    assert "Port 8000 of 127.0.0.1 is in use. Choose another one with --port." in said
    assert "Traceback" not in said
    machine.reset()


def test_reset_with_nothing_there_says_so(machine: Machine) -> None:
    assert "nothing of kvmweb" in machine.reset()
