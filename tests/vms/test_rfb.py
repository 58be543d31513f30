"""What a VNC client says: passed on whole for who types, and the picture alone for who looks on."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vms.consoles.rfb import LONGEST_TEXT, ClientMessages, Unreadable

pytestmark = pytest.mark.pure

HELLO = b"RFB 003.008\n\x01\x01"
FORMAT = struct.pack(">B3xBBBBHHHBBB3x", 0, 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
ENCODINGS = struct.pack(">BxH2i", 2, 2, 7, -223)
UPDATE = struct.pack(">BBHHHH", 3, 1, 0, 0, 720, 400)
CONTINUOUS = struct.pack(">BBHHHH", 150, 1, 0, 0, 720, 400)
FENCE = struct.pack(">B3xIB", 248, 1, 3) + b"abc"
LOOKING = [FORMAT, ENCODINGS, UPDATE, CONTINUOUS, FENCE]
MOVE = struct.pack(">BBHH", 5, 0, 10, 20)
CLICK = struct.pack(">BBHH", 5, 1, 10, 20)
TEXT = struct.pack(">B3xi", 6, 5) + b"hello"
RICH_TEXT = struct.pack(">B3xi", 6, -4) + b"\x01\x00\x00\x00"
RESIZE = struct.pack(">BxHHBx", 251, 800, 600, 1) + bytes(16)


def key(symbol: int, *, down: bool) -> bytes:
    return struct.pack(">BB2xI", 4, down, symbol)


def scanned(code: int, *, down: bool) -> bytes:
    return struct.pack(">BBHII", 255, 0, down, 97, code)


TYPING = [key(97, down=True), scanned(30, down=True), MOVE, CLICK, TEXT, RICH_TEXT, RESIZE]
SOUND = struct.pack(">BBHBBI", 255, 1, 2, 0, 2, 44100) + struct.pack(">BBH", 255, 1, 0)


def said(messages: list[bytes], *, types: bool, pieces: int = 10_000) -> bytes:
    """What of it goes to the server, whatever the pieces it comes in."""
    client, words = ClientMessages(), HELLO + b"".join(messages)
    parts = [words[begin : begin + pieces] for begin in range(0, len(words), pieces)]
    return b"".join(client.pass_on(part, types=types) for part in parts)


@given(
    st.lists(st.sampled_from([*LOOKING, *TYPING, SOUND]), max_size=12),
    st.booleans(),
    st.integers(1, 40),
)
def test_who_types_is_heard_and_who_looks_on_asks_for_the_picture_alone(
    messages: list[bytes], types: bool, pieces: int
) -> None:
    heard = [m for m in messages if m in LOOKING or (types and m in TYPING)]
    assert said(messages, types=types, pieces=pieces) == HELLO + b"".join(heard)


def test_nobody_gets_the_screen_for_themselves() -> None:
    client = ClientMessages()
    assert client.pass_on(HELLO[:-1] + b"\x00", types=True) == HELLO


def test_the_longer_messages_of_a_mouse_are_never_agreed_on() -> None:
    asked = struct.pack(">BxH3i", 2, 3, 7, -316, -223)
    assert said([asked], types=True) == HELLO + ENCODINGS


@pytest.mark.parametrize("press", [lambda d: key(97, down=d), lambda d: scanned(30, down=d)])
def test_who_loses_the_keys_lets_go_of_them(press: object) -> None:
    assert callable(press)
    client = ClientMessages()
    client.pass_on(HELLO + press(True) + CLICK, types=True)
    assert client.let_go() == press(False) + MOVE
    assert client.let_go() == b""
    assert client.pass_on(press(False), types=False) == b"", "it was lifted"


def test_a_key_that_is_down_comes_up_whoever_types_by_then() -> None:
    client = ClientMessages()
    client.pass_on(HELLO + key(97, down=True), types=True)
    assert client.pass_on(key(98, down=False), types=False) == b""
    assert client.pass_on(key(97, down=False), types=False) == key(97, down=False)


@pytest.mark.parametrize(
    "words",
    [
        b"RFB 003.003\n",
        b"GET / HTTP/1",
        b"RFB 003.008\n\x02",
        HELLO + b"\x63",
        HELLO + b"\xff\x07\x00\x00",
        HELLO + struct.pack(">B3xi", 6, LONGEST_TEXT + 1),
        HELLO + struct.pack(">B3xi", 6, -(2**31)),
        HELLO + struct.pack(">BxH", 2, 60_000),
    ],
)
def test_what_is_not_known_ends_it(words: bytes) -> None:
    with pytest.raises(Unreadable):
        ClientMessages().pass_on(words, types=True)


@given(st.binary(max_size=400))
def test_whatever_comes_nothing_but_the_picture_is_asked_for_without_the_keys(data: bytes) -> None:
    client = ClientMessages()
    try:
        heard = client.pass_on(HELLO + data, types=False)
    except Unreadable:
        return
    rest = heard[len(HELLO) :]
    while rest:
        lengths = {0: 20, 3: 10, 150: 10}
        if rest[0] == 2:
            length = 4 + 4 * struct.unpack_from(">H", rest, 2)[0]
        else:
            length = 9 + rest[8] if rest[0] == 248 else lengths[rest[0]]
        rest = rest[length:]
