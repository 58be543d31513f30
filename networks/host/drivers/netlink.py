"""Netlink messages by hand, at a hundredth of what pyroute2 costs.

Formats: netlink(7), include/uapi/linux/netlink.h. A socket belongs to the namespace and the thread
that made it.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Self

from kvmweb.core.errors import HostBusy, HostError

NETLINK_ROUTE = 0
NETLINK_SOCK_DIAG = 4
NETLINK_NETFILTER = 12
NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
_NLM_F_DUMP_INTR = 0x10
_NLM_F_CAPPED = 0x100
_NLM_F_ACK_TLVS = 0x200
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLA_F_NESTED = 0x8000
_NLA_TYPE_MASK = 0x3FFF
_NLMSGERR_ATTR_MSG = 1
_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11
_NETLINK_GET_STRICT_CHK = 12
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33
_BUFFER = 32 << 20
_RECEIVE = 128 << 10
_AT_ONCE = 256
_DEADLINE_SECONDS = 10
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")


class KernelRefused(HostError):
    """The kernel answered with an error; `errno` is positive, `reason` its own words if any."""

    code = "kernel_refused"

    def __init__(self, number: int, reason: str = "") -> None:
        words = os.strerror(number)
        super().__init__(f"{words}: {reason}" if reason else words)
        self.errno = number
        self.reason = reason


class Interrupted(HostBusy):
    """What was dumped changed meanwhile; the dump is worth nothing."""

    code = "dump_interrupted"


class Message(NamedTuple):
    """One message as received: its type, sequence number and all after the netlink header."""

    kind: int
    sequence: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """An acknowledgement (`errno` 0) or an error."""

    sequence: int
    errno: int
    reason: str


def attribute(kind: int, data: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    return _ATTRIBUTE.pack(len(data) + 4, kind) + data + b"\0" * (-len(data) % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | _NLA_F_NESTED, b"".join(attributes))


def text(kind: int, value: str) -> bytes:
    """An attribute with a string that ends in NUL."""
    return attribute(kind, value.encode() + b"\0")


def attributes(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """The attributes in `data`, flags stripped off their types."""
    while offset + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4:
            return
        yield kind & _NLA_TYPE_MASK, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def message(kind: int, flags: int, sequence: int, payload: bytes) -> bytes:
    """A whole message."""
    return _HEADER.pack(16 + len(payload), kind, flags, sequence, 0) + payload


class NetlinkSocket:
    """A socket of one protocol, with deadlines and room for large transactions."""

    def __init__(self, protocol: int, groups: int = 0) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        self._socket.settimeout(_DEADLINE_SECONDS)
        for option in (_SO_SNDBUFFORCE, _SO_RCVBUFFORCE):
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
            except PermissionError:  # without CAP_NET_ADMIN reading still works
                continue
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self._socket.bind((0, groups))
        self._sequence = 0
        self._room = memoryview(bytearray(_RECEIVE))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; tables it owns become nobody's."""
        self._socket.close()

    def filtered(self) -> Self:
        """Have dumps of rtnetlink held against their request by the kernel, since 4.20; an older
        one tells all there is."""
        with suppress(OSError):
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_GET_STRICT_CHK, 1)
        return self

    def fileno(self) -> int:
        """For selectors."""
        return self._socket.fileno()

    def next_sequence(self) -> int:
        """A number no earlier message of this socket had."""
        self._sequence = self._sequence % 0x7FFFFFFF + 1
        return self._sequence

    def send(self, data: bytes) -> None:
        """Send what may be many messages at once."""
        self._socket.send(data)

    def dump(self, kind: int, payload: bytes) -> Iterator[bytes]:
        """The payloads of all answers to a dump. Raises `Interrupted` when it changed meanwhile."""
        sequence = self.next_sequence()
        self.send(message(kind, NLM_F_REQUEST | NLM_F_DUMP, sequence, payload))
        yield from self._answers(sequence)

    def request(self, kind: int, payload: bytes, flags: int = 0) -> list[bytes]:
        """One request; the payloads of its answers up to the acknowledgement."""
        sequence = self.next_sequence()
        self.send(message(kind, NLM_F_REQUEST | NLM_F_ACK | flags, sequence, payload))
        return list(self._answers(sequence))

    def request_each(self, kind: int, payloads: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
        """Many requests at once: the payloads of the answers with their request's position. What a
        request asks for not being there is no error."""
        for start in range(0, len(payloads), _AT_ONCE):
            some = payloads[start : start + _AT_ONCE]
            places = {self.next_sequence(): start + at for at in range(len(some))}
            flags = NLM_F_REQUEST | NLM_F_ACK
            asked = zip(places, some, strict=True)
            self.send(b"".join(message(kind, flags, number, each) for number, each in asked))
            yield from self._answers_to(places)

    def answers(self, first: int, last: int) -> list[Answer]:
        """Errors of the messages `first` to `last`, sent at once, up to the answer to `last`.

        An error of `first`, which opens a batch, is of the whole batch and the only one.
        """
        found: list[Answer] = []
        while True:
            for received, flags in self.receive():
                if received.kind != _NLMSG_ERROR or not first <= received.sequence <= last:
                    continue
                answer = _answer(received, flags)
                found.append(answer)
                if answer.sequence == last or (answer.sequence == first and answer.errno):
                    return found

    def receive(self) -> Iterator[tuple[Message, int]]:
        """What is in the next datagram: messages with their flags."""
        try:
            data = bytes(self._room[: self._socket.recv_into(self._room)])
        except TimeoutError as error:
            raise HostBusy("The kernel did not answer over netlink.") from error
        offset = 0
        while offset + 16 <= len(data):
            length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
            yield Message(kind, sequence, data[offset + 16 : offset + length]), flags
            offset += (length + 3) & ~3

    def _answers_to(self, places: dict[int, int]) -> Iterator[tuple[int, bytes]]:
        """Answers to requests, whose places are given by sequence number, until all are done."""
        while places:
            for received, flags in self.receive():
                if received.sequence not in places:
                    continue
                if received.kind != _NLMSG_ERROR:
                    yield places[received.sequence], received.payload
                    continue
                del places[received.sequence]
                answer = _answer(received, flags)
                if answer.errno not in {0, ALREADY_GONE, errno.ENODEV}:
                    raise KernelRefused(answer.errno, answer.reason)

    def _answers(self, sequence: int) -> Iterator[bytes]:
        interrupted = False
        while True:
            for received, flags in self.receive():
                if received.sequence != sequence:
                    continue
                interrupted |= bool(flags & _NLM_F_DUMP_INTR)
                if received.kind == _NLMSG_ERROR:
                    answer = _answer(received, flags)
                    if answer.errno:
                        raise KernelRefused(answer.errno, answer.reason)
                    return
                if received.kind == _NLMSG_DONE:
                    if interrupted:
                        raise Interrupted("What was read from the kernel changed meanwhile.")
                    return
                yield received.payload


def refusal(answers: Iterable[Answer]) -> KernelRefused | None:
    """The first error among `answers`."""
    for answer in answers:
        if answer.errno:
            return KernelRefused(answer.errno, answer.reason)
    return None


def _answer(received: Message, flags: int) -> Answer:
    (negative,) = struct.unpack_from("=i", received.payload)
    reason = ""
    if flags & _NLM_F_ACK_TLVS:
        (length,) = struct.unpack_from("=I", received.payload, 4)
        offset = 4 + (16 if flags & _NLM_F_CAPPED or not negative else (length + 3) & ~3)
        for kind, data in attributes(received.payload, offset):
            if kind == _NLMSGERR_ATTR_MSG:
                reason = data.rstrip(b"\0").decode(errors="replace")
    return Answer(received.sequence, -negative, reason)


ALREADY_THERE = errno.EEXIST
ALREADY_GONE = errno.ENOENT
