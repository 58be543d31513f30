"""qemu-img on a file that a stranger made: as nobody, without a network, within limits.

It is given open files and no paths. A hole in one of QEMU's many parsers then finds nothing to
read, nobody to call and little to fill. Where the worker is not root only the limits remain.
"""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from vms.library.failures import BadImage
from vms.library.formats import Disk

NOBODY = 65534
INFO_SECONDS = 60
# Of one core; a wall clock limit would punish a slow disk.
CONVERT_CPU_SECONDS = 2 * 3600
_MEMORY = 1 << 30
# Its up to 64 threads would by default reserve 8 MiB of addresses each, and glibc an arena of 64
# MiB for every few: more than it may have, so that sound disks would fail now and then.
_STACK = 1 << 20
_ARENAS = {"MALLOC_ARENA_MAX": "1"}
_LITTLE = 1 << 20
_LONGEST_ERROR = 64 * 1024
_PERCENT = re.compile(r"\(\s*(\d+)\.\d+/100%\)")
_FULL = os.strerror(errno.ENOSPC)
_TOO_LARGE = os.strerror(errno.EFBIG)

Progress = Callable[[int], None]


class TooLarge(Exception):
    """What was to be written is more than was allowed."""


class NoSpace(Exception):
    """The disk is full."""


def hand_over(path: Path) -> None:
    """Let qemu-img open this file, and nothing else of root's."""
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)


def info(path: Path, disk: Disk) -> dict[str, Any]:
    """What qemu-img says of a disk of this format. Raises BadImage."""
    with path.open("rb") as file:
        words = ("info", "--output=json", _image(file.fileno(), disk))
        done = subprocess.run(
            _command(words, cpu=INFO_SECONDS, most=_LITTLE),
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=INFO_SECONDS,
            pass_fds=(file.fileno(),),
            env=_environment(),
        )
    if done.returncode:
        raise _broken(disk, done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def first_sector(path: Path, disk: Disk) -> bytes:
    """The first 512 bytes a guest would see. Raises BadImage."""
    with path.open("rb") as file, tempfile.TemporaryFile() as made:
        if os.geteuid() == 0:
            os.fchown(made.fileno(), NOBODY, NOBODY)
        words = (
            "dd",
            *("-O", "raw", "bs=512", "count=1"),
            *(f"if={_image(file.fileno(), disk)}", f"of=/dev/fd/{made.fileno()}"),
        )
        done = subprocess.run(
            _command(words, cpu=INFO_SECONDS, most=_LITTLE),
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=INFO_SECONDS,
            pass_fds=(file.fileno(), made.fileno()),
            env=_environment(),
        )
        if done.returncode:
            raise _broken(disk, done.stderr)
        return os.pread(made.fileno(), 512, 0)


def convert(source: Path, disk: Disk, target: Path, *, most: int, progress: Progress) -> None:
    """A new qcow2 at `target` with what `source` holds, at most `most` bytes large.

    Raises BadImage, TooLarge, NoSpace.
    """
    with source.open("rb") as taken, target.open("wb") as made:
        hand_over(target)
        words = ("convert", "-p", "-W", "-O", "qcow2", _image(taken.fileno(), disk))
        process = subprocess.Popen(
            _command((*words, f"/dev/fd/{made.fileno()}"), cpu=CONVERT_CPU_SECONDS, most=most),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(taken.fileno(), made.fileno()),
            env=_environment(),
        )
        with process:
            try:
                _follow(process, progress)
                errors = _text(process.stderr)
            except BaseException:
                process.kill()
                raise
    if process.returncode:
        _judge(process.returncode, errors, disk)


def _follow(process: subprocess.Popen[bytes], progress: Progress) -> None:
    """qemu-img writes its percentage again and again into one line."""
    told = -1
    stream = process.stdout
    while stream and (part := os.read(stream.fileno(), 4096)):
        for percent in map(int, _PERCENT.findall(part.decode(errors="replace"))):
            if percent > told:
                progress(told := percent)


def _text(stream: IO[bytes] | None) -> str:
    return stream.read(_LONGEST_ERROR).decode(errors="replace") if stream else ""


def _judge(code: int, errors: str, disk: Disk) -> None:
    if code == -signal.SIGXFSZ or _TOO_LARGE in errors:
        raise TooLarge
    if _FULL in errors:
        raise NoSpace
    raise _broken(disk, errors)


def _broken(disk: Disk, errors: str) -> BadImage:
    """Without the name of the file, which means nothing to anybody."""
    said = errors.strip().splitlines()[-1:] or ["it ended without a word"]
    return BadImage(
        f"The file begins like {disk} but cannot be read as that: "
        f"{said[0].rpartition(': ')[2][:200]}.",
        code="image_format",
        remedy="Fetch or upload it again; if that does not help, its maker has to mend it.",
    )


def _image(descriptor: int, disk: Disk) -> str:
    """A disk of a given format, that has no backing file whatever its header says."""
    options: dict[str, Any] = {"driver": disk, "file": _file(descriptor)}
    if disk in ("qcow2", "vmdk"):
        options["backing"] = None
    return f"json:{json.dumps(options)}"


def _file(descriptor: int) -> dict[str, Any]:
    return {"driver": "file", "filename": f"/dev/fd/{descriptor}", "locking": "off"}


def _command(words: tuple[str, ...], *, cpu: int, most: int) -> list[str]:
    limits = (
        *(f"--as={_MEMORY}", f"--stack={_STACK}"),
        *(f"--cpu={cpu}", f"--fsize={most}", "--core=0", "--nofile=64"),
    )
    return [*_nobody(), "prlimit", *limits, "qemu-img", *words]


def _nobody() -> list[str]:
    if os.geteuid() != 0:
        return ["setpriv", "--no-new-privs"]
    identity = (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--bounding-set=-all")
    return ["unshare", "--net", "--ipc", "setpriv", *identity, "--no-new-privs"]


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", **_ARENAS}
