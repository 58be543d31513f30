"""Network namespaces under a name in a folder, and work inside them.

A namespace is kept by a mount of it on a file (ip-netns(8)). Work inside is done by a thread that
ends with it, so that no other work of this process is ever done in the wrong namespace; what is
made there (sockets, processes) stays there.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from kvmweb.core.errors import HostError

R = TypeVar("R")

_CLONE_NEWNET = 0x40000000
_GET_KIND = 0xB703  # NS_GET_NSTYPE, ioctl_ns(2)
_MS_BIND, _MNT_DETACH = 0x1000, 2
_libc = ctypes.CDLL(None, use_errno=True)


def exists(path: Path) -> bool:
    """Whether there is a network namespace under this name."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return fcntl.ioctl(descriptor, _GET_KIND) == _CLONE_NEWNET
    except OSError:
        return False
    finally:
        os.close(descriptor)


def make(path: Path) -> None:
    """Make a namespace under this name, where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()

    def make_and_keep() -> None:
        _succeed(_libc.unshare(_CLONE_NEWNET))
        here, there = b"/proc/thread-self/ns/net", os.fsencode(path)
        _succeed(_libc.mount(here, there, b"none", ctypes.c_ulong(_MS_BIND), None))

    try:
        _on_a_thread(make_and_keep)
    except OSError as error:
        raise HostError(
            f"The host cannot make a network namespace: {error.strerror}.",
            code="namespace_refused",
            remedy="The network worker needs to run as root, outside of a container.",
        ) from error


def remove(path: Path) -> None:
    """Take the name away, and with it the namespace once nothing uses it; none is success."""
    while exists(path):
        if _libc.umount2(os.fsencode(path), _MNT_DETACH) != 0:
            break
    path.unlink(missing_ok=True)


def within(path: Path, call: Callable[[], R]) -> R:
    """Call in the namespace of this name."""

    def enter_and_call() -> R:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _succeed(_libc.setns(descriptor, _CLONE_NEWNET))
        finally:
            os.close(descriptor)
        return call()

    return _on_a_thread(enter_and_call)


@contextmanager
def held(path: Path) -> Iterator[Path]:
    """Keep the namespace of this name while the context lasts; it is then there under another
    name, whatever becomes of the first."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def is_in(pid: int, path: Path) -> bool:
    """Whether a process is in the namespace of this name."""
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/ns/net"), path.stat())  # noqa: PTH116
    except OSError:
        return False


def _on_a_thread(call: Callable[[], R]) -> R:
    with ThreadPoolExecutor(1, thread_name_prefix="namespace") as thread:
        return thread.submit(call).result()


def _succeed(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number or errno.EINVAL, os.strerror(number or errno.EINVAL))
