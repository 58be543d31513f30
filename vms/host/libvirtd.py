"""A libvirtd of our own, for a machine where none runs: apart from the system's in all its folders.

It lives in a mount namespace in which its own folders lie over libvirt's fixed ones, and with a
/dev of its own. Where guests cannot run under KVM, that /dev has no `kvm`: libvirtd asks every
QEMU binary what it can do, keeps the answer, and throws it away whenever QEMU found KVM but
QEMU's user may not open /dev/kvm (virQEMUCapsIsValid). Then each look-up probes anew, some ten
times for one definition: 40 s instead of 0.1 s. A /dev/null bound over /dev/kvm is probed all the
same. Where KVM is usable, the node is made with the group that QEMU runs in.

The daemon outlives who started it, and guests outlive the daemon: started again on the same
folders, it finds them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import libvirt

from kvmweb.core.errors import HostError
from kvmweb.host.files import locked

START_SECONDS = 60.0
_SOCKET = "libvirt-sock"
_LONGEST_SOCKET = 107
_QEMU_CONF = """\
namespaces = []
cgroup_controllers = []
stdio_handler = "logd"
"""
_LIBVIRTD_CONF = """\
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_group = "root"
unix_sock_ro_perms = "0700"
unix_sock_rw_perms = "0700"
"""
_ENTER = r"""
set -eu
run=$1 state=$2 kvm=$3
dev=$run/dev
mkdir -p "$dev"
mount -t tmpfs -o mode=755,nosuid tmpfs "$dev"
for node in null zero full random urandom tty hwrng vhost-net vhost-vsock net/tun; do
	[ -c "/dev/$node" ] || continue
	mkdir -p "$(dirname "$dev/$node")"
	: >"$dev/$node"
	mount --bind "/dev/$node" "$dev/$node"
done
for folder in pts shm hugepages mapper vfio; do
	[ -d "/dev/$folder" ] || continue
	mkdir "$dev/$folder"
	mount --rbind "/dev/$folder" "$dev/$folder"
done
# Not bound: a bound ptmx finds no pts beside it (ENOENT), and QEMU needs one for the serial line.
mknod -m 666 "$dev/ptmx" c 5 2
ln -s /proc/self/fd "$dev/fd"
if [ "$kvm" = yes ] && [ -c /dev/kvm ]; then
	mknod -m 660 "$dev/kvm" c 10 232
	chgrp kvm "$dev/kvm"
fi
mount --move "$dev" /dev
mkdir -p /run/libvirt /var/lib/libvirt /etc/libvirt /var/cache/libvirt /var/log/libvirt
mount --bind "$run/libvirt" /run/libvirt
for folder in lib cache log; do
	mount --bind "$state/$folder" "/var/$folder/libvirt"
done
mount --bind "$state/etc" /etc/libvirt
[ -e "/run/libvirt/virtlogd.alive" ] || virtlogd -d -p /run/libvirt/virtlogd.pid
exec libvirtd -d -p /run/libvirt/libvirtd.pid
"""


class CannotStartLibvirtd(HostError):
    code = "libvirtd_start"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateLibvirtd:
    """One that `start_private` started; `run` is emptied by a reboot, `state` is kept."""

    run: Path
    state: Path

    @property
    def socket(self) -> Path:
        return self.run / "libvirt" / _SOCKET

    @property
    def uri(self) -> str:
        return f"qemu+unix:///system?socket={self.socket}"

    @property
    def pid(self) -> int | None:
        """Of the libvirtd that runs; None when none does."""
        return _pid(self.run / "libvirt" / "libvirtd.pid", "libvirtd")

    @property
    def log_pid(self) -> int | None:
        """Of its virtlogd."""
        return _pid(self.run / "libvirt" / "virtlogd.pid", "virtlogd")

    def stop(self, *, seconds: float = 10.0) -> None:
        """End both daemons; guests go on."""
        for pid in (self.pid, self.log_pid):
            if pid is not None:
                _end(pid, seconds)


def start_private(
    run: Path, state: Path, *, hide_kvm: bool, seconds: float = START_SECONDS
) -> PrivateLibvirtd:
    """Start it unless it runs, wait until it answers and knows its QEMU.

    Raises CannotStartLibvirtd.
    """
    daemon = PrivateLibvirtd(run=run.absolute(), state=state.absolute())
    if len(os.fsencode(daemon.socket)) > _LONGEST_SOCKET:
        raise CannotStartLibvirtd(f"The path {daemon.socket} is too long for a socket (unix(7)).")
    with locked(daemon.run / "libvirtd.lock"):
        if daemon.pid is None:
            _prepare(daemon)
            _start(daemon, hide_kvm=hide_kvm)
        _wait(daemon, seconds)
    return daemon


def _prepare(daemon: PrivateLibvirtd) -> None:
    for folder in (daemon.run / "libvirt", *(daemon.state / name for name in ("cache", "log"))):
        folder.mkdir(parents=True, exist_ok=True)
    (daemon.state / "lib").mkdir(exist_ok=True)
    (daemon.state / "etc").mkdir(exist_ok=True)
    (daemon.state / "etc" / "qemu.conf").write_text(_QEMU_CONF)
    (daemon.state / "etc" / "libvirtd.conf").write_text(_LIBVIRTD_CONF)
    alive = daemon.run / "libvirt" / "virtlogd.alive"
    alive.unlink(missing_ok=True)
    if daemon.log_pid is not None:
        alive.touch()


def _start(daemon: PrivateLibvirtd, *, hide_kvm: bool) -> None:
    (daemon.run / "libvirt" / _SOCKET).unlink(missing_ok=True)
    names = [str(daemon.run), str(daemon.state), "no" if hide_kvm else "yes"]
    with (daemon.state / "log" / "start.log").open("w+") as log:
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", _ENTER, "sh", *names],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
        )
        log.seek(0)
        if done.returncode:
            raise CannotStartLibvirtd(f"libvirtd did not start: {log.read().strip()}")


def _wait(daemon: PrivateLibvirtd, seconds: float) -> None:
    """Until it answers; asking for QEMU's capabilities makes it probe now and not at a job."""
    deadline = time.monotonic() + seconds
    while (error := _refusal(daemon.uri)) is not None:
        if time.monotonic() > deadline or daemon.pid is None:
            raise CannotStartLibvirtd(f"libvirtd does not answer: {error}") from error
        time.sleep(0.02)


def _refusal(uri: str) -> libvirt.libvirtError | None:
    try:
        connection = libvirt.open(uri)
        connection.getDomainCapabilities(None, "x86_64", "q35", "qemu", 0)
        connection.close()
    except libvirt.libvirtError as error:
        return error
    return None


def _pid(file: Path, program: str) -> int | None:
    """The pid in `file`, if it is that of a running `program`."""
    try:
        pid = int(file.read_text())
        return pid if Path(f"/proc/{pid}/comm").read_text().strip() == program else None
    except (OSError, ValueError):
        return None


def _end(pid: int, seconds: float) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while _runs(pid):
        if time.monotonic() > deadline:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
