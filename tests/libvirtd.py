"""A KVM host in namespaces of its own: libvirtd with its guests, network and folders.

Everything in it is in one network namespace, so that ending all processes there leaves nothing. It
reaches nothing outside unless a test adds a link. Names are unique, so tests may run side by side.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvmweb.host.config import HostPaths
from vms.host.libvirtd import PrivateLibvirtd, start_private

_PREFIX = "kvt"
_numbers = itertools.count(1)
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True, kw_only=True)
class LibvirtHost:
    """`folder` holds all its files; `paths` are the host's as the product sees them."""

    netns: str
    folder: Path
    daemon: PrivateLibvirtd

    @property
    def uri(self) -> str:
        return self.daemon.uri

    @property
    def paths(self) -> HostPaths:
        return HostPaths.under(self.folder / "state", self.folder / "run")

    def command(self, arguments: Sequence[str | Path]) -> list[str]:
        """What runs `arguments` inside the host's network and mount namespaces."""
        pid = self.daemon.pid
        assert pid is not None, "libvirtd does not run"
        return ["nsenter", f"--target={pid}", "--net", "--mount", "--", *map(str, arguments)]

    def run(self, *arguments: str | Path, check: bool = True, **options: Any) -> str:
        """Run a program inside and return what it printed."""
        done = subprocess.run(
            self.command(arguments), check=False, capture_output=True, text=True, **options
        )
        if check and done.returncode:
            raise AssertionError(f"{arguments} ended with {done.returncode}: {done.stderr}")
        return str(done.stdout)

    def popen(self, *arguments: str | Path, **options: Any) -> subprocess.Popen[Any]:
        """Start a program inside; its pid is the Popen's."""
        return subprocess.Popen(self.command(arguments), **options)

    def add_bridge(self, name: str) -> None:
        self.run("ip", "link", "add", name, "type", "bridge")
        self.run("ip", "link", "set", name, "up")

    def pids(self) -> list[int]:
        """All processes of the host."""
        listing = subprocess.run(
            ["ip", "netns", "pids", self.netns], check=True, capture_output=True, text=True
        )
        return [int(pid) for pid in listing.stdout.split()]


@contextmanager
def libvirt_host(name: str = "", *, hide_kvm: bool = True) -> Iterator[LibvirtHost]:
    """A host that is ready, and gone without a trace at the end."""
    netns = f"{_PREFIX}{os.getpid()}n{next(_numbers)}{name}"
    folder = Path(tempfile.mkdtemp(prefix=f"{netns}-", dir="/var/tmp"))
    folder.chmod(0o711)
    _ip("netns", "add", netns)
    _ip("-n", netns, "link", "set", "lo", "up")
    daemon = PrivateLibvirtd(run=folder / "libvirtd", state=folder / "libvirt")
    host = LibvirtHost(netns=netns, folder=folder, daemon=daemon)
    try:
        _start(host, hide_kvm=hide_kvm)
        yield host
    finally:
        _end_all(host)
        _ip("netns", "del", netns)
        shutil.rmtree(folder, ignore_errors=True)


def restart_libvirtd(host: LibvirtHost, *, hide_kvm: bool = True) -> None:
    """Start libvirtd again after it was ended; guests are found again."""
    _start(host, hide_kvm=hide_kvm)


def _start(host: LibvirtHost, *, hide_kvm: bool) -> None:
    """By a process that stays and collects the dead at once.

    Not every machine's init does; libvirt waits for a QEMU that it ended until it is collected.
    """
    parent = subprocess.Popen(
        [
            "ip",
            "netns",
            "exec",
            host.netns,
            sys.executable,
            "-m",
            "tests.libvirtd",
            host.daemon.run,
            host.daemon.state,
            "hidden" if hide_kvm else "visible",
        ],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert parent.stdout is not None
    with parent.stdout:
        assert parent.stdout.readline() == b"ready\n", "the private libvirtd did not start"


def _end_all(host: LibvirtHost) -> None:
    deadline = time.monotonic() + 30
    while pids := host.pids():
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert time.monotonic() < deadline, f"processes that do not end: {pids}"
        time.sleep(0.02)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def _main() -> None:
    """Stay as the one to whom libvirtd and each QEMU fall when who started them has ended."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if os.fork() == 0:
        start_private(Path(sys.argv[1]), Path(sys.argv[2]), hide_kvm=sys.argv[3] == "hidden")
        os.write(1, b"ready\n")
        os._exit(0)
    os.close(1)
    with suppress(ChildProcessError):
        while True:
            os.wait()


if __name__ == "__main__":
    _main()
