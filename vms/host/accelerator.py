"""What guests run under on this host, found out by running one.

/dev/kvm may be there, open, and make libvirt report KVM, while a Linux kernel started under it
never gets anywhere. So a guest is started, and only its first line from user space is proof.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from kvmweb.host.files import locked, write_durably
from vms.host.spec import RunsUnder

TRIAL_SECONDS = 8.0
FIRST_LINE = b"kvmweb-hello:"
"""What the built-in image's user space begins its lines on the serial port with."""

GUEST_CPU = "host"
"""QEMU's word for what libvirt calls host-passthrough, which guests get under KVM."""

_KVM = Path("/dev/kvm")
_CHUNK = 4096
_QEMU = (
    *("qemu-system-x86_64", "-no-user-config", "-nodefaults", "-no-reboot"),
    *("-m", "128", "-display", "none", "-serial", "stdio", "-nic", "none"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """`reason` is a sentence for the operator."""

    accelerator: RunsUnder
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """`up` says that a guest's user space spoke, `said` how QEMU ended when it did not live."""

    up: bool
    seconds: float
    said: str = ""


class _Remembered(msgspec.Struct, frozen=True):
    machine: str
    found: Found


def probe(
    image: Path,
    deadline: float = TRIAL_SECONDS,
    *,
    cache: Path | None = None,
) -> Found:
    """What guests run under; a trial of KVM with a guest of `image` takes at most `deadline` s.

    The answer is kept in `cache` and holds until the machine boots anew, or its CPU changes under
    it. That /dev/kvm is missing or closed is never kept, for it costs nothing to see.
    """
    if (refused := _unopenable()) is not None:
        return Found(accelerator="tcg", reason=refused)
    if not image.is_file():
        return Found(
            accelerator="tcg",
            reason=f"KVM could not be tried without the image {image}: guests are emulated.",
        )
    if cache is None:
        return _trial(image, deadline)
    with locked(cache.with_name(f".{cache.name}.lock")):
        found = _recall(cache)
        if found is None:
            found = _trial(image, deadline)
            write_durably(cache, msgspec.json.encode(_Remembered(machine=_machine(), found=found)))
        return found


def _unopenable() -> str | None:
    try:
        os.close(os.open(_KVM, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return (
            "There is no /dev/kvm: guests are emulated, which is slow. Switch on virtualisation in"
            " the firmware, or nested virtualisation if this machine is itself a guest."
        )
    except OSError as error:
        return f"/dev/kvm cannot be opened ({error.strerror}): guests are emulated, which is slow."
    return None


def try_guest(
    image: Path,
    deadline: float,
    *,
    accelerator: RunsUnder = "kvm",
    cpu: str = GUEST_CPU,
) -> Tried:
    """Start a guest of `image`, which stays as it is, and wait at most `deadline` s for it."""
    begin = time.monotonic()
    with _guest(image, accelerator, cpu) as qemu:
        output = _listen(qemu, begin + deadline)
        said = output.decode(errors="replace").strip() or f"exit code {qemu.poll()}"
        return Tried(
            up=FIRST_LINE in output,
            seconds=time.monotonic() - begin,
            said="" if qemu.poll() is None else said.rpartition("\n")[2],
        )


def _trial(image: Path, deadline: float) -> Found:
    tried = try_guest(image, deadline)
    if tried.up:
        return Found(
            accelerator="kvm", reason=f"KVM works: a guest was up in {tried.seconds:.1f} s."
        )
    if tried.said:
        why = f"QEMU could not use it ({tried.said})"
    else:
        why = f"a guest started under it had not come up after {deadline:g} s"
    return Found(
        accelerator="tcg",
        reason=f"/dev/kvm can be opened, but {why}: guests are emulated, which is slow.",
    )


@contextmanager
def _guest(image: Path, accelerator: str, cpu: str) -> Iterator[subprocess.Popen[bytes]]:
    """A guest that ends with the block."""
    path = str(image).replace(",", ",,")
    machine = ("-machine", f"q35,accel={accelerator},usb=off", "-cpu", cpu)
    qemu = subprocess.Popen(
        [*_QEMU, *machine, "-drive", f"file={path},format=qcow2,if=virtio,snapshot=on"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield qemu
    finally:
        qemu.kill()
        qemu.wait()
        if qemu.stdout is not None:
            qemu.stdout.close()


def _listen(qemu: subprocess.Popen[bytes], until: float) -> bytes:
    """What came out up to the first line, the end of QEMU, or the moment `until`."""
    output = b""
    assert qemu.stdout is not None  # noqa: S101  # for the type checker: it is a pipe
    with selectors.DefaultSelector() as selector:
        selector.register(qemu.stdout, selectors.EVENT_READ)
        while FIRST_LINE not in output and (left := until - time.monotonic()) > 0:
            if selector.select(left):
                chunk = os.read(qemu.stdout.fileno(), _CHUNK)
                if not chunk:
                    qemu.wait()
                    break
                output += chunk
    return output


def _recall(cache: Path) -> Found | None:
    try:
        remembered = msgspec.json.decode(cache.read_bytes(), type=_Remembered)
    except (OSError, msgspec.MsgspecError):
        return None
    return remembered.found if remembered.machine == _machine() else None


def _machine() -> str:
    """Kernel, boot and CPU."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    models = (
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    return " ".join((os.uname().release, boot, next(models, "")))
