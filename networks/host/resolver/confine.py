"""Let go of what a name server does not need before it reads what guests send (capabilities(7))."""

from __future__ import annotations

import ctypes
import os
import resource
import struct
from contextlib import suppress
from pathlib import Path

_PR_SET_KEEPCAPS, _PR_SET_NAME, _PR_SET_NO_NEW_PRIVS = 8, 15, 38
_NAME = b"kvmweb-dns"
_NET_BIND_SERVICE = 1 << 10
_VERSION_3 = 0x20080522
_NOBODY = 65534
_OTHERS_MAY_ENTER = 0o001
_libc = ctypes.CDLL(None, use_errno=True)


def confine(needed: Path) -> None:
    """Become nobody, who may do one thing more than others: use ports below 1024.

    The list of processes shows what it is.

    Where `needed` is hidden from others it stays the owner of its files, without other rights.
    """
    _libc.prctl(_PR_SET_NAME, _NAME, 0, 0, 0)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    _libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    if _is_open(needed):
        with suppress(PermissionError):
            os.setgroups([])
            os.setresgid(_NOBODY, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    head = struct.pack("=Ii", _VERSION_3, 0)
    low = struct.pack("=III", _NET_BIND_SERVICE, _NET_BIND_SERVICE, 0)
    if _libc.capset(head, low + bytes(12)) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _is_open(file: Path) -> bool:
    """Whether everybody can get to a file, followed to where it really is."""
    return all(
        parent.stat().st_mode & _OTHERS_MAY_ENTER
        for path in (file.absolute(), file.resolve())
        for parent in path.parents
        if parent.exists()
    )
