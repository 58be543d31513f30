"""When to look again: files of the zones' folder, and bridges that come and go."""

from __future__ import annotations

import ctypes
import os
import socket
from contextlib import suppress

_IN_MOVED_TO, _IN_DELETE = 0x80, 0x200
_RTMGRP_LINK = 1
_READ = 65536
_libc = ctypes.CDLL(None, use_errno=True)


def watched_folder(folder: str) -> int:
    """A descriptor that is readable whenever a file was moved in or removed (inotify(7))."""
    descriptor: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "inotify_init1")
    if _libc.inotify_add_watch(descriptor, folder.encode(), _IN_MOVED_TO | _IN_DELETE) < 0:
        raise OSError(ctypes.get_errno(), "inotify_add_watch")
    return descriptor


def watched_links() -> socket.socket:
    """A socket that is readable whenever an interface changed (rtnetlink(7))."""
    links = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    links.bind((0, _RTMGRP_LINK))
    return links


def drain(descriptor: int) -> None:
    """Forget what there is to read: that there was something is the news."""
    with suppress(BlockingIOError):
        while True:
            try:
                os.read(descriptor, _READ)
            except BlockingIOError:
                raise
            except OSError:  # ENOBUFS: there was even more
                continue
