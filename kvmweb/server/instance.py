"""One server per state folder: who holds the lock runs, and its process id stands in the file."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path


class Running(Exception):
    """Another server holds the lock; `pid` is its process, 0 when it did not say."""

    def __init__(self, pid: int) -> None:
        super().__init__(pid)
        self.pid = pid


@contextlib.contextmanager
def held(lock: Path) -> Iterator[None]:
    """Be the one server of this folder. The kernel lets go of the lock however the process ends."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.read(descriptor, 20).decode().strip()
            raise Running(int(text) if text.isdecimal() else 0) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def end(lock: Path, *, patience: float = 40.0) -> bool:
    """Ask the server that holds the lock to end; whether nobody holds it any more."""
    limit = time.monotonic() + patience
    asked = 0
    while lock.exists():
        try:
            with held(lock):
                return True
        except Running as running:
            if running.pid and running.pid != asked:
                asked = running.pid
                with contextlib.suppress(ProcessLookupError):
                    os.kill(asked, signal.SIGTERM)
        if time.monotonic() > limit:
            return False
        time.sleep(0.1)
    return True
