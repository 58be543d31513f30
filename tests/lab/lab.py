"""Two real hosts and an internet between them, in namespaces: real kernel, real libvirt.

    internet 198.51.100.1/24 (clients, a web server) ── bridge ──┬── h1 198.51.100.11
                                                                 └── h2 198.51.100.12

Everything is named after the process of the test, so runs side by side do not meet.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from celery import Celery

from kvmweb.core.envelope import Envelope
from tests.lab.broker import Broker, Control
from tests.lab.host import LabHost
from tests.lab.web import serve_callers
from tests.netns import Namespace, remove_stale, veth

INTERNET = "198.51.100.1"
HOSTS = {"h1": "198.51.100.11", "h2": "198.51.100.12"}


class Lab:
    """Start with `with Lab() as lab:`; leaving it ends every process and removes every trace."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="kwlab-", dir="/var/tmp"))
        self.folder.chmod(0o711)  # QEMU's user comes through here to its disks
        self._stack = ExitStack()
        self.hosts: dict[str, LabHost] = {}

    @property
    def h1(self) -> LabHost:
        return self.hosts["h1"]

    @property
    def h2(self) -> LabHost:
        return self.hosts["h2"]

    def __enter__(self) -> Self:
        remove_stale()
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all and remove all, whatever state it is in."""
        self._stack.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def fetch(self, url: str, *, seconds: float = 10) -> str:
        """GET from the internet's client; empty when nobody answered."""
        command = ["curl", "--silent", "--show-error", "--max-time", f"{seconds:g}", url]
        return self.internet.run(*command, check=False)

    def send(self, task: str, queue: str, envelope: Envelope) -> None:
        """Publish as the panel does."""
        sender = Celery("panel", broker=self.broker.url, fixups=[], set_as_current=False)
        with sender.connection_for_write() as connection:
            sender.send_task(task, args=[envelope], queue=queue, connection=connection)

    def drop(self, queue: str) -> None:
        """Forget what waits in a queue and what dead workers held."""
        with self.broker.client() as client:
            client.delete(queue, "unacked", "unacked_index")

    def logs(self) -> str:
        """The ends of all logs, for a test that failed."""
        parts = []
        for path in sorted(self.folder.rglob("*.log")):
            text = path.read_text(errors="replace")[-6000:]
            if text.strip():
                parts.append(f"--- {path.relative_to(self.folder)}\n{text}")
        return "\n".join(parts)

    def _build(self) -> None:
        self.internet = self._stack.enter_context(Namespace("wan"))
        self.internet.ip("link add wan type bridge")
        self.internet.ip(f"address add {INTERNET}/24 dev wan")
        self.internet.ip("link set wan up")
        self.callers = self._stack.enter_context(serve_callers(self.internet, 80))
        self.broker = Broker(self.folder)
        self._stack.callback(self.broker.stop)
        self.broker.start()
        for name, address in HOSTS.items():
            self.hosts[name] = self._host(name, address)
        with ThreadPoolExecutor() as starting:
            list(starting.map(LabHost.open, self.hosts.values()))
        self.control = Control(self.broker, {host.name: host.key for host in self.hosts.values()})

    def _host(self, name: str, address: str) -> LabHost:
        namespace = self._stack.enter_context(Namespace(name))
        veth(self.internet, name, namespace, "up0")
        self.internet.ip(f"link set {name} master wan")
        namespace.ip(f"address add {address}/24 dev up0")
        namespace.ip(f"route add default via {INTERNET}")
        host = LabHost(name, address, namespace, self.folder / name, self.broker.url)
        self._stack.callback(host.close)
        return host


def nothing_left(lab: Lab) -> list[str]:
    """What a closed lab left behind, in words; empty when it is gone without a trace."""
    names = [lab.internet.name, *(host.namespace.name for host in lab.hosts.values())]
    left = [f"namespace {name}" for name in names if (Path("/run/netns") / name).exists()]
    mounts = Path("/proc/self/mounts").read_text()
    left += [f"mount under {lab.folder}"] if str(lab.folder) in mounts else []
    left += [f"folder {lab.folder}"] if lab.folder.exists() else []
    listed = subprocess.run(["ps", "-eo", "pid,args"], check=True, capture_output=True, text=True)
    return left + [line for line in listed.stdout.splitlines() if str(lab.folder) in line]
