"""What a VNC client says to a server, taken apart as far as it takes to know who types.

RFC 6143, and https://github.com/rfbproto/rfbproto for what came after it. Somebody who only looks
may ask for the picture and nothing else. What is not known cannot be judged and ends the console.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

VERSION = b"RFB 003.008\n"
LONGEST_TEXT = 1 << 20
MOST_ENCODINGS = 256

_NO_PASSWORD = 1
_SHARED = b"\x01"
_EXTENDED_MOUSE_BUTTONS = -316
"""A client that gets it says more with each move of the mouse (7 bytes instead of 6)."""

_SET_PIXEL_FORMAT, _SET_ENCODINGS, _UPDATE_REQUEST = 0, 2, 3
_KEY, _POINTER, _CUT_TEXT = 4, 5, 6
_CONTINUOUS_UPDATES, _FENCE, _DESKTOP_SIZE, _QEMU = 150, 248, 251, 255
_LOOKING = frozenset({_SET_PIXEL_FORMAT, _SET_ENCODINGS, _UPDATE_REQUEST, _CONTINUOUS_UPDATES})
_LOOKING_TOO = _LOOKING | {_FENCE}


class Unreadable(ValueError):
    """The client says something that is not known."""


class ClientMessages:
    """One client. `pass_on` returns what of its words goes to the server."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._stage: Callable[[], bytes | None] = self._version
        self._types = False
        self._down: dict[bytes, bytes] = {}
        self._pointer = b""

    def pass_on(self, data: bytes, *, types: bool) -> bytes:
        """Raises Unreadable."""
        self._types = types
        self._rest += data
        said = bytearray()
        while (words := self._stage()) is not None:
            said += words
        return bytes(said)

    def let_go(self) -> bytes:
        """What lifts all keys and buttons that this client holds down."""
        said = b"".join(self._down.values())
        if self._pointer:
            said += bytes([_POINTER, 0]) + self._pointer
        self._down.clear()
        self._pointer = b""
        return said

    def _version(self) -> bytes | None:
        words = self._take(len(VERSION))
        if words is not None:
            if words != VERSION:
                raise Unreadable("This client speaks another version of RFB.")
            self._stage = self._security
        return words

    def _security(self) -> bytes | None:
        words = self._take(1)
        if words is not None:
            if words[0] != _NO_PASSWORD:
                raise Unreadable("This client wants another kind of login.")
            self._stage = self._init
        return words

    def _init(self) -> bytes | None:
        """Nobody gets a screen for themselves by asking QEMU."""
        if self._take(1) is None:
            return None
        self._stage = self._message
        return _SHARED

    def _message(self) -> bytes | None:
        length = self._length()
        words = None if length is None else self._take(length)
        if words is None:
            return None
        kind = words[0]
        if kind == _SET_ENCODINGS:
            return _without_extended_buttons(words)
        if kind in _LOOKING_TOO:
            return words
        if kind in (_KEY, _QEMU):
            return self._key(words)
        if kind == _POINTER:
            return self._moved(words)
        return words if self._types else b""

    def _key(self, words: bytes) -> bytes:
        """A key that went down for the guest may come up again, whoever types by then."""
        if words[0] == _QEMU and words[1] != 0:
            return b""  # sound, which nobody hears here
        key, up = _key_of(words)
        if words == up:
            known = self._down.pop(key, None) is not None
            return words if self._types or known else b""
        if not self._types:
            return b""
        self._down[key] = up
        return words

    def _moved(self, words: bytes) -> bytes:
        if not self._types:
            return b""
        self._pointer = words[2:6] if words[1] else b""
        return words

    def _take(self, length: int) -> bytes | None:
        if len(self._rest) < length:
            return None
        words = bytes(self._rest[:length])
        del self._rest[:length]
        return words

    def _length(self) -> int | None:
        """Of the message that begins the rest; None while that cannot be told."""
        if not self._rest:
            return None
        kind = self._rest[0]
        if kind in _FIXED:
            return _FIXED[kind]
        if kind not in _COUNTED:
            raise Unreadable(f"This client says something unknown ({kind}).")
        head, length = _COUNTED[kind]
        return None if len(self._rest) < head else length(self._rest)


def _key_of(words: bytes) -> tuple[bytes, bytes]:
    """A key's name, and the message that lifts it."""
    if words[0] == _KEY:
        return words[4:], words[:1] + b"\x00" + words[2:]
    return words[4:], words[:2] + b"\x00\x00" + words[4:]


def _without_extended_buttons(words: bytes) -> bytes:
    (count,) = struct.unpack_from(">H", words, 2)
    wanted = struct.unpack_from(f">{count}i", words, 4)
    kept = [one for one in wanted if one != _EXTENDED_MOUSE_BUTTONS]
    return struct.pack(f">BxH{len(kept)}i", _SET_ENCODINGS, len(kept), *kept)


def _of_encodings(rest: bytearray) -> int:
    (count,) = struct.unpack_from(">H", rest, 2)
    if count > MOST_ENCODINGS:
        raise Unreadable("This client asks for too many encodings.")
    return 4 + 4 * int(count)


def _of_text(rest: bytearray) -> int:
    """A length below zero is how the extended clipboard is told."""
    (length,) = struct.unpack_from(">i", rest, 4)
    if abs(length) > LONGEST_TEXT:
        raise Unreadable("This text is too long for the clipboard.")
    return 8 + abs(int(length))


def _of_qemu(rest: bytearray) -> int:
    if rest[1] == 0:
        return 12
    if rest[1] != 1:
        raise Unreadable("This client says something unknown to QEMU.")
    return 10 if struct.unpack_from(">H", rest, 2)[0] == 2 else 4


_FIXED = {_SET_PIXEL_FORMAT: 20, _UPDATE_REQUEST: 10, _KEY: 8, _POINTER: 6, _CONTINUOUS_UPDATES: 10}
_COUNTED: dict[int, tuple[int, Callable[[bytearray], int]]] = {
    _SET_ENCODINGS: (4, _of_encodings),
    _CUT_TEXT: (8, _of_text),
    _FENCE: (9, lambda rest: 9 + rest[8]),
    _DESKTOP_SIZE: (8, lambda rest: 8 + 16 * rest[6]),
    _QEMU: (4, _of_qemu),
}
