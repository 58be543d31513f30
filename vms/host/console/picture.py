"""Small pictures of guests' screens, as PNG, taken when the panel says that somebody looks.

They are read from QEMU's VNC server in 256 colours, of which only some points are taken, each as it
is: quick, and good enough to tell a login from a crash. libvirt's screenshots are PNG of full size
where QEMU can write that (7.1), and taking those apart would take seconds.
"""

from __future__ import annotations

import logging
import socket
import struct
import zlib
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from kvmweb.core.errors import HostError, KvmwebError
from kvmweb.host.store import subject_name
from vms.host.console.graphics import graphics_fd, graphics_socket
from vms.host.drivers.domains import Domains

log = logging.getLogger(__name__)

WIDTH = 192
MOST_DUE = 200
SECONDS = 5.0
LARGEST = 8 << 20
VERSION = b"RFB 003.008\n"
# A byte per point: 3 bits of red, 3 of green, 2 of blue.
_FORMAT = struct.pack(">B3xBBBBHHHBBB3x", 0, 8, 8, 0, 1, 7, 7, 3, 5, 2, 0)
_RAW_ALONE = struct.pack(">BxHi", 2, 1, 0)
_COLOURS = bytes(
    value
    for point in range(256)
    for value in ((point >> 5) * 255 // 7, (point >> 2 & 7) * 255 // 7, (point & 3) * 85)
)


class NoPicture(HostError):
    """What came is no picture that we know."""

    code = "no_picture"


class Pictures:
    """Takes them one after the other in a thread of its own, so that no question waits for one.
    Nor does anybody wait for a picture: one that fails is left out."""

    def __init__(self, uri: str, send: Callable[[dict[str, Any]], None]) -> None:
        self._domains = Domains(uri, call_seconds=SECONDS)
        self._send = send
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pictures")
        self._due: set[str] = set()

    def answer(self, body: dict[str, Any]) -> dict[str, str]:
        """Have one taken."""
        subject = subject_name(str(body.get("vm", "")))
        if subject not in self._due and len(self._due) < MOST_DUE:
            self._due.add(subject)
            self._thread.submit(self._take, subject)
        return {}

    def _take(self, subject: str) -> None:
        self._due.discard(subject)
        try:
            png = picture(self._domains, subject)
        except KvmwebError as error:
            log.info("no_picture vm=%s reason=%s", subject, error.message)
            return
        at = datetime.now(UTC).isoformat()
        self._send({"vm": subject, "at": at, "png": b64encode(png).decode()})


def picture(domains: Domains, subject: str) -> bytes:
    """What a running guest shows. Raises VmOff, ConsoleMissing, NoPicture and what libvirt's driver
    raises."""
    with graphics_socket(
        domains.ask(lambda connection: graphics_fd(connection, subject))
    ) as screen:
        screen.settimeout(SECONDS)
        try:
            return thumbnail(*_Reader(screen).frame())
        except OSError as error:
            raise NoPicture(f"QEMU did not show its screen: {error}.") from error


def thumbnail(width: int, height: int, points: bytes) -> bytes:
    """A PNG of at most `WIDTH` columns, of a screen whose points are bytes of `_FORMAT`."""
    step = max(1, -(-width // WIDTH))
    lines = [points[row * width : (row + 1) * width : step] for row in range(0, height, step)]
    # RFC 2083: 8 bits that name one of 256 colours, no filter.
    size = struct.pack(">IIBBBBB", len(lines[0]), len(lines), 8, 3, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\x00" + line for line in lines), 9)
    chunks = ((b"IHDR", size), (b"PLTE", _COLOURS), (b"IDAT", packed), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


class _Reader:
    """A VNC client that asks for one picture (RFC 6143)."""

    def __init__(self, screen: socket.socket) -> None:
        self._screen = screen

    def frame(self) -> tuple[int, int, bytes]:
        """Width, height and points. Raises NoPicture and OSError."""
        width, height = self._hello()
        if not 0 < width * height <= LARGEST:
            raise NoPicture(f"The screen has {width} x {height} points.")
        whole = struct.pack(">BBHHHH", 3, 0, 0, 0, width, height)
        self._screen.sendall(_FORMAT + _RAW_ALONE + whole)
        points = bytearray(width * height)
        shown = 0
        while shown < width * height:
            shown += self._message(points, width)
        return width, height, bytes(points)

    def _hello(self) -> tuple[int, int]:
        self._read(len(VERSION))
        self._screen.sendall(VERSION)
        if b"\x01" not in self._read(self._read(1)[0]):
            raise NoPicture("QEMU wants a password.")
        self._screen.sendall(b"\x01")
        self._read(4)
        self._screen.sendall(b"\x01")  # others may look too
        width, height, _, name = struct.unpack(">HH16sI", self._read(24))
        self._read(name)
        return width, height

    def _message(self, points: bytearray, width: int) -> int:
        """Take one message; how many points it had."""
        kind = self._read(1)[0]
        if kind == 2:  # the bell
            return 0
        if kind == 3:  # the guest's clipboard
            self._read(abs(struct.unpack(">3xi", self._read(7))[0]))
            return 0
        if kind != 0:
            raise NoPicture(f"QEMU says something unknown ({kind}).")
        (count,) = struct.unpack(">xH", self._read(3))
        return sum(self._rectangle(points, width) for _ in range(count))

    def _rectangle(self, points: bytearray, width: int) -> int:
        left, top, wide, high, _ = struct.unpack(">HHHHi", self._read(12))
        data = self._read(wide * high)
        for row in range(high):
            begin = (top + row) * width + left
            points[begin : begin + wide] = data[row * wide : (row + 1) * wide]
        return int(wide * high)

    def _read(self, length: int) -> bytes:
        if not 0 <= length <= LARGEST:
            raise NoPicture("QEMU says too much at once.")
        data = bytearray()
        while len(data) < length:
            more = self._screen.recv(min(length - len(data), 1 << 20))
            if not more:
                raise NoPicture("QEMU ended.")
            data += more
        return bytes(data)
