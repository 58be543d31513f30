"""A client and a server of the DNS for tests: messages by hand (RFC 1035, section 4)."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address

from tests.netns import DEADLINE, Namespace

A, PTR, TXT, AAAA = 1, 12, 16, 28
OK, SERVER_FAILED, NO_SUCH_NAME, REFUSED = 0, 2, 3, 5


@dataclass(frozen=True, slots=True)
class Told:
    """An answer: its code and its addresses or names."""

    code: int
    found: tuple[str, ...] = ()


SILENCE = Told(-1)


def question(name: str, kind: int = A, number: int = 7) -> bytes:
    """A message that asks for one name."""
    head = struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0)
    return head + _name(name) + struct.pack(">HH", kind, 1)


def told(message: bytes) -> Told:
    """What a message says."""
    _, flags, _, count, _, _ = struct.unpack_from(">HHHHHH", message)
    _, at = _read(message, 12)
    at += 4
    found = []
    for _ in range(count):
        _, at = _read(message, at)
        kind, _, _, length = struct.unpack_from(">HHIH", message, at)
        at += 10
        data = message[at : at + length]
        found.append(str(IPv4Address(data)) if kind == A else _read(message, at)[0])
        at += length
    return Told(flags & 15, tuple(found))


def ask(
    guest: Namespace, server: str, name: str, kind: int = A, seconds: float = 3 * DEADLINE
) -> Told:
    """Ask by UDP as a stub resolver does: again when it is silent, or not there yet."""
    until = time.monotonic() + seconds
    with guest.udp_socket() as client:
        client.settimeout(min(1.0, seconds))
        client.connect((server, 53))
        while time.monotonic() < until:
            try:
                client.send(question(name, kind))
                return told(client.recv(4096))
            except ConnectionRefusedError:
                time.sleep(0.02)
            except OSError:
                continue
    return SILENCE


def ask_tcp(guest: Namespace, server: str, name: str) -> Told:
    """Ask by TCP."""
    message = question(name)
    with guest.connect(server, 53) as connection:
        connection.sendall(struct.pack(">H", len(message)) + message)
        answer = b""
        while len(answer) < 2 or len(answer) < 2 + int.from_bytes(answer[:2], "big"):
            more = connection.recv(4096)
            if not more:
                return SILENCE
            answer += more
    return told(answer[2:])


def serve(there: Namespace, address: str, answer: Callable[[str], str | None]) -> list[str]:
    """A name server by UDP and TCP that knows what `answer` says; returns what it is asked."""
    asked: list[str] = []

    def reply(message: bytes) -> bytes:
        name, end = _read(message, 12)
        asked.append(name)
        known = answer(name)
        flags = 0x8180 if known else 0x8183
        head = message[:2] + struct.pack(">HHHHH", flags, 1, bool(known), 0, 0)
        body = message[12 : end + 4]
        if known:
            body += b"\xc0\x0c" + struct.pack(">HHIH", A, 1, 60, 4) + IPv4Address(known).packed
        return head + body

    there.datagram_server(53, reply, address)
    there.stream_server(53, _framed(reply), address)
    return asked


def _framed(reply: Callable[[bytes], bytes]) -> Callable[[socket.socket], None]:
    def serve_one(connection: socket.socket) -> None:
        connection.settimeout(DEADLINE)
        data = connection.recv(4096)
        answer = reply(data[2:])
        connection.sendall(struct.pack(">H", len(answer)) + answer)

    return serve_one


def _name(name: str) -> bytes:
    labels = [label.encode() for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _read(message: bytes, at: int) -> tuple[str, int]:
    """The name at an offset, pointers followed, and where it ends."""
    labels: list[str] = []
    end = 0
    while length := message[at]:
        if length >= 0xC0:
            end = end or at + 2
            at = int.from_bytes(message[at : at + 2], "big") & 0x3FFF
            continue
        labels.append(message[at + 1 : at + 1 + length].decode())
        at += 1 + length
    return ".".join(labels), end or at + 1
