"""Files that are either the old or the new one after a crash, never a half of each."""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

log = logging.getLogger(__name__)


class Taken(Exception):
    """Somebody else holds the lock."""


def write_durably(path: Path, content: bytes) -> None:
    """Replace `path` so that it survives a power cut: file flushed, renamed, folder flushed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Make renames and removals in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def patiently_locked(path: Path) -> Iterator[None]:
    """Hold flock(2) on `path`, saying so in the log when it takes waiting."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(path, wait=False))
        except Taken:
            log.warning("waiting_for_lock path=%s", path)
            stack.enter_context(locked(path))
        yield


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold flock(2) on `path` between processes; raises `Taken` when it may not wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError as error:
        os.close(descriptor)
        raise Taken(path) from error
    try:
        yield
    finally:
        os.close(descriptor)
