"""One host of a lab: its namespaces, its libvirtd, its three processes."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from kvmweb.core.envelope import Envelope, seal
from kvmweb.host.config import HostConfig, load
from networks.host.drivers.routers import dhcp_of, routers
from tests.libvirtd import LibvirtHost, restart_libvirtd
from tests.netns import Namespace
from vms.host.libvirtd import PrivateLibvirtd

ROOT = Path(__file__).resolve().parent.parent.parent
PROCESSES = ("net", "vm", "monitor")


class LabHost:
    """Made by `Lab`. `folder` holds its configuration, key, state, run files and logs."""

    def __init__(
        self, name: str, address: str, namespace: Namespace, folder: Path, broker: str
    ) -> None:
        self.name = name
        self.address = address
        self.namespace = namespace
        self.folder = folder
        self.key = secrets.token_hex(32)
        self.machine = LibvirtHost(
            netns=namespace.name,
            folder=folder,
            daemon=PrivateLibvirtd(run=folder / "libvirtd", state=folder / "libvirt"),
        )
        self._broker = broker
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def config_file(self) -> Path:
        return self.folder / "host.toml"

    @property
    def config(self) -> HostConfig:
        return load(self.config_file)

    @property
    def libvirt_uri(self) -> str:
        return self.machine.uri

    def open(self) -> None:
        """Configuration and libvirtd; the processes of kvmweb are started apart."""
        self.folder.mkdir(mode=0o711)
        self._write_configuration()
        restart_libvirtd(self.machine)

    def close(self) -> None:
        """End what was started here; the rest ends with the namespace, which is the lab's.

        Networks' own routers have namespaces of their own, and a DHCP server in each.
        """
        for name in list(self._processes):
            self.kill(name)
        folder = self.folder / "kw" / "routers"
        for bridge in routers(folder):
            dhcp_of(folder, bridge).stop()

    def run(self, *command: str, check: bool = True) -> str:
        """Run a program inside; returns its output, errors included."""
        done = subprocess.run(
            self._inside(command),
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            cwd=ROOT,
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}: {done.stdout}")
        return done.stdout

    def program(self, command: str) -> tuple[int, str]:
        """Run `python -m kvmweb.host COMMAND`; returns its exit code and what it said."""
        done = subprocess.run(
            self._inside(self._program(command)),
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            cwd=ROOT,
            env=_ENVIRONMENT,
        )
        return done.returncode, done.stdout

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start `net`, `vm` or `monitor`, or with `arguments` another program in its place."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                self._inside(arguments or self._program(name)),
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=_ENVIRONMENT,
                start_new_session=True,
            )
        self._processes[name] = process
        return process

    def stop(self, name: str) -> int:
        """Ask a process to end; returns its exit code."""
        process = self._processes.pop(name)
        process.terminate()
        return process.wait(60)

    def kill(self, name: str) -> None:
        """kill -9 a process with its children."""
        process = self._processes.pop(name, None)
        if process is not None:
            _kill_group(process)

    def wait_dead(self, name: str, *, seconds: float = 60) -> None:
        """Until a process has ended by itself."""
        self._processes.pop(name).wait(seconds)

    def freeze(self, name: str) -> None:
        """SIGSTOP a process."""
        os.killpg(self._processes[name].pid, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """SIGCONT a frozen process."""
        os.killpg(self._processes[name].pid, signal.SIGCONT)

    def hang_libvirtd(self, *, hung: bool) -> None:
        """SIGSTOP libvirtd, or let it go on."""
        pid = self.machine.daemon.pid
        assert pid is not None, "libvirtd does not run"
        os.kill(pid, signal.SIGSTOP if hung else signal.SIGCONT)

    def pids_of(self, program: str) -> list[int]:
        """The processes of this host that run `program`."""
        return [pid for pid in self.namespace.pids() if _program_of(pid) == program]

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def order(self, kind: str, spec: Any, *, attempt: int = 1) -> tuple[str, Envelope]:
        """A sealed order as the panel sends it, and the job it belongs to."""
        job = str(uuid4())
        payload = {"job": job, "kind": kind, "attempt": attempt, "spec": spec}
        return job, seal(self.name, self.key, payload)

    def ip(self, command: str) -> Any:
        return self.namespace.ip(command)

    def _inside(self, command: Sequence[str]) -> list[str]:
        return ["ip", "netns", "exec", self.namespace.name, *command]

    def _program(self, command: str) -> list[str]:
        config = str(self.config_file)
        return [sys.executable, "-m", "kvmweb.host", command, "--config", config]

    def _write_configuration(self) -> None:
        (self.folder / "key").write_text(self.key)
        entries = {
            "name": self.name,
            "broker": self._broker,
            "key_file": "key",
            "state": "state",
            "run": "run",
            "libvirt_uri": self.libvirt_uri,
        }
        lines = [f"{name} = {json.dumps(value)}" for name, value in entries.items()]
        self.config_file.write_text("\n".join(lines))


def _environment() -> dict[str, str]:
    """Nothing of Django, and nothing of the test's own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO")}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


_ENVIRONMENT = _environment()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _program_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except FileNotFoundError:
        return ""
