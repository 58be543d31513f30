"""One dnsmasq for DHCP on all bridges; it outlives this process and is adopted by the next.

It reads a folder of hosts and a folder of options by inotify; what was removed or changed it
forgets on SIGHUP only (dnsmasq(8), --dhcp-hostsdir). That a SIGHUP is due is on disk before the
first removal. DNS is off: one instance would share one name space between tenants. A guest is known
by its MAC alone, which the firewall vouches for. Words go to syslog: guests can make it say a lot.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from kvmweb.core.errors import HostBusy, HostError
from kvmweb.core.names import BRIDGE_PREFIX
from networks.host.drivers import namespaces
from networks.host.drivers.daemon import Daemon
from networks.host.state import DhcpFile, DhcpFolder

_LEASE = "1h"
_MOST_LEASES = 100_000
# All addresses, for subnets of routed networks may be public; it listens on our bridges alone. No
# range may begin with 0.0.0.0, which means none to it.
_RANGES = ("1.0.0.0,static,128.0.0.0", "128.0.0.0,static,128.0.0.0")
_FOLDERS: tuple[DhcpFolder, ...] = ("hosts", "opts")
_IPV6 = Path("/proc/sys/net/ipv6")
_SECONDS = 10
_OTHERS_MAY_ENTER = 0o001


class Dhcp:
    """`folder` holds all of its files. Another folder is another dnsmasq, which may be in a network
    namespace of its own."""

    def __init__(self, folder: Path, namespace: Path | None = None) -> None:
        self._folder = folder
        self._namespace = namespace
        self._due = folder / "reload-due"
        self._pid_file = folder / "dnsmasq.pid"
        self._leases = folder / "leases"
        self._daemon = Daemon(self._pid_file, f"--pid-file={self._pid_file}")

    def files(self, bridge: str) -> frozenset[DhcpFile]:
        """The files of a network."""
        return frozenset(
            DhcpFile(folder, path.name, path.read_text())
            for folder in _FOLDERS
            for path in self._of(folder, bridge)
        )

    def pid(self) -> int | None:
        """The process of our dnsmasq if it runs, with whatever configuration."""
        return self._daemon.pid()

    def is_running(self) -> bool:
        """Whether our dnsmasq runs with the configuration of this version."""
        return self._is_in_place() and self._daemon.runs(self._arguments())

    def lease_until(self, address: str, mac: str) -> float | None:
        """When the lease of this address by this MAC ends (s since the epoch, 0 is never)."""
        try:
            lines = self._leases.read_text().splitlines()
        except FileNotFoundError:
            return None
        for words in map(str.split, lines):
            if len(words) >= 3 and (words[1], words[2]) == (mac.lower(), address):
                return float(words[0])
        return None

    def is_reload_due(self) -> bool:
        """Whether it has not yet been told of a removal."""
        return self._due.exists()

    def write(self, files: Iterable[DhcpFile], *, replaced: bool) -> None:
        """Write files; new ones are noticed at once."""
        self._make_folders()
        if replaced:
            self._due.touch()
        written = list(files)
        for file in written:
            self._write(file)
        self._evict({_address(file): _mac(file) for file in written if file.folder == "hosts"})

    def remove(self, files: Iterable[DhcpFile]) -> None:
        """Remove files; dnsmasq goes on believing them until `reload`."""
        self._make_folders()
        self._due.touch()
        for file in files:
            (self._folder / file.folder / file.name).unlink(missing_ok=True)

    def reload(self) -> None:
        """Have it read everything again, or start it if it died."""
        pid = self.pid()
        if pid is None:
            self.start()
            return
        os.kill(pid, signal.SIGHUP)
        self._due.unlink(missing_ok=True)

    def start(self) -> None:
        """Start it in the background, in place of one with another configuration."""
        self._make_folders()
        try:
            done = self._stop_and_run()
        except FileNotFoundError as error:
            raise missing() from error
        except subprocess.TimeoutExpired as error:
            raise HostBusy("dnsmasq did not start in time.") from error
        if done.returncode != 0:
            raise HostError(
                f"dnsmasq did not start: {done.stderr.strip()[:300]}",
                code="dhcp_failed",
                remedy="See whether another DHCP server of the host uses UDP port 67.",
            )
        self._due.unlink(missing_ok=True)

    def stop(self) -> None:
        """End it and wait for its end; none running is success."""
        self._daemon.stop()

    def delete(self) -> None:
        """End it and remove all of its files."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _stop_and_run(self) -> subprocess.CompletedProcess[str]:
        """The one that runs may be all that keeps its namespace."""

        def run() -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                self._arguments(), capture_output=True, text=True, timeout=_SECONDS, check=False
            )

        if self._namespace is None:
            self.stop()
            return run()
        with namespaces.held(self._namespace) as namespace:
            self.stop()
            return namespaces.within(namespace, run)

    def _is_in_place(self) -> bool:
        """Whether it is in the namespace it should be in."""
        if self._namespace is None:
            return True
        pid = self.pid()
        return pid is not None and namespaces.is_in(pid, self._namespace)

    def _of(self, folder: DhcpFolder, bridge: str) -> list[Path]:
        place, begin = self._folder / folder, f"{bridge}."
        if folder == "opts":
            path = place / bridge
            return [path] if path.exists() else []
        try:
            every = os.listdir(place)  # noqa: PTH208 - names alone: there is one of every guest
            return [place / name for name in every if name.startswith(begin)]
        except FileNotFoundError:
            return []

    def _write(self, file: DhcpFile) -> None:
        """Written elsewhere and moved, so that dnsmasq never reads half a file."""
        descriptor, temporary = tempfile.mkstemp(dir=self._folder)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(file.text)
        path = Path(temporary)
        path.chmod(0o644)
        path.replace(self._folder / file.folder / file.name)

    def _evict(self, reserved: dict[str, str]) -> None:
        """dnsmasq keeps an address from its new owner while another MAC has a lease of it, and has
        no way to drop a lease from outside: it is started again without that line."""
        try:
            text = self._leases.read_text()
        except FileNotFoundError:
            return
        if not any(f" {address} " in text for address in reserved):
            return
        lines = text.splitlines(keepends=True)
        kept = [line for line in lines if not _is_foreign(line.split(), reserved)]
        if len(kept) < len(lines):
            self.stop()
            self._leases.write_text("".join(kept))
            self.start()

    def _make_folders(self) -> None:
        for folder in _FOLDERS:
            (self._folder / folder).mkdir(parents=True, exist_ok=True)
        for path in (self._folder, *(self._folder / folder for folder in _FOLDERS)):
            path.chmod(0o755)

    def _arguments(self) -> list[str]:
        arguments = [
            "dnsmasq",
            "--conf-file=/dev/null",
            "--port=0",
            f"--interface={BRIDGE_PREFIX}*",
            "--bind-dynamic",
            "--dhcp-authoritative",
            "--dhcp-ignore-clid",
            f"--dhcp-lease-max={_MOST_LEASES}",
            "--quiet-dhcp",
            f"--dhcp-hostsdir={self._folder / 'hosts'}",
            f"--dhcp-optsdir={self._folder / 'opts'}",
            f"--dhcp-leasefile={self._leases}",
            f"--pid-file={self._pid_file}",
        ]
        arguments += [f"--dhcp-range={block},{_LEASE}" for block in _RANGES]
        if _IPV6.exists():
            announced = f"--dhcp-range=::,constructor:{BRIDGE_PREFIX}*,ra-only,{_LEASE}"
            arguments += ["--enable-ra", "--quiet-ra", announced]
        return arguments if self._is_reachable() else [*arguments, "--user=root"]

    def _is_reachable(self) -> bool:
        """Whether dnsmasq can read its folder as the user it becomes."""
        return all(
            parent.stat().st_mode & _OTHERS_MAY_ENTER
            for parent in self._folder.absolute().parents
            if parent.exists()
        )


def missing() -> HostError:
    """What to say where dnsmasq is not installed."""
    return HostError(
        "The program dnsmasq is not installed on the host, so guests would get no addresses.",
        code="dnsmasq_missing",
        remedy="Install the package dnsmasq-base.",
    )


def is_installed() -> bool:
    """Whether dnsmasq can be started."""
    return shutil.which("dnsmasq") is not None


def _is_foreign(lease: list[str], reserved: dict[str, str]) -> bool:
    """A lease is `expiry mac address name client-id`."""
    return len(lease) >= 3 and reserved.get(lease[2], lease[1]) != lease[1]


def _mac(file: DhcpFile) -> str:
    return file.text.split(",")[0]


def _address(file: DhcpFile) -> str:
    return file.text.strip().split(",")[1]
