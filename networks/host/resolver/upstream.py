"""Questions that others answer: who is asked, and the questions under way.

Each question goes out by a socket of its own, so its number and its port are both new (RFC 5452),
and is taken back to whoever asked byte by byte.
"""

from __future__ import annotations

import secrets
import selectors
import socket
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from networks.host.resolver import wire
from networks.host.resolver.wire import Query

PORT = 53
TRY_SECONDS = 1.5
LONGEST = 65535
_MOST_TRIES = 4
_MOST_PER_ASKER = 200
_MOST_KNOWN = 1024


class HostServers:
    """The name servers of the host itself, as its file says now; read again when that changed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: tuple[int, int] | None = None
        self._servers: tuple[str, ...] = ()

    def now(self) -> tuple[str, ...]:
        """Their addresses, the host's own loopback included: a stub there answers this process."""
        try:
            status = self._file.stat()
            seen = (status.st_mtime_ns, status.st_ino)
            if seen != self._seen:
                self._servers = tuple(_servers(self._file.read_text(errors="replace")))
                self._seen = seen
        except OSError:
            self._seen, self._servers = None, ()
        return self._servers


@dataclass(slots=True)
class Question:
    """One question under way; `reply` takes the answer to whoever asked."""

    asker: str
    message: bytes
    query: Query
    reply: Callable[[bytes], None]
    known: tuple[str, ...]
    left: deque[str]
    server: str = ""
    socket: socket.socket | None = None
    number: int = 0
    until: float = field(default=0.0)


class Forwarder:
    """Asks by UDP without ever waiting; `selector` tells of answers with a `Question` as data."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._open: OrderedDict[int, Question] = OrderedDict()
        self._askers: dict[str, int] = {}
        self._good: OrderedDict[tuple[str, ...], str] = OrderedDict()

    def ask(
        self,
        asker: str,
        message: bytes,
        query: Query,
        servers: Sequence[str],
        reply: Callable[[bytes], None],
    ) -> None:
        """Ask one server after another. An asker with too much under way is not heard: its guest
        asks again by itself."""
        if self._askers.get(asker, 0) >= _MOST_PER_ASKER:
            return
        self._askers[asker] = self._askers.get(asker, 0) + 1
        known = tuple(servers)
        self._next(Question(asker, message, query, reply, known, deque(self._in_order(known))))

    def answered(self, question: Question) -> None:
        """Take what came for a question: the answer, noise, or the news that nobody listens."""
        if question.socket is None:
            return
        try:
            message = question.socket.recv(LONGEST)
        except BlockingIOError:
            return
        except OSError:
            self._next(question)
            return
        if not wire.answers(message, question.query, question.number):
            return
        if wire.is_failure(message):
            question.left = deque(each for each in question.left if each != question.server)
            if question.left:
                self._next(question)
                return
        else:
            self._remember(question)
        self._end(question, wire.numbered(message, question.query.number))

    def _remember(self, question: Question) -> None:
        """Who answered; of servers that nobody has asked for long that is forgotten."""
        self._good[question.known] = question.server
        self._good.move_to_end(question.known)
        if len(self._good) > _MOST_KNOWN:
            self._good.popitem(last=False)

    def timeout(self) -> float | None:
        """Seconds until the next question has waited long enough."""
        oldest = next(iter(self._open.values()), None)
        return None if oldest is None else max(0.0, oldest.until - time.monotonic())

    def expire(self) -> None:
        """Ask the next server for whatever has waited long enough."""
        now = time.monotonic()
        while (oldest := next(iter(self._open.values()), None)) and oldest.until <= now:
            self._next(oldest)

    def _in_order(self, servers: tuple[str, ...]) -> list[str]:
        """The one that answered last time first, each again until it was tried enough."""
        good = self._good.get(servers)
        order = sorted(servers, key=lambda each: each != good)
        return (order * _MOST_TRIES)[: max(_MOST_TRIES, len(order))] if order else []

    def _next(self, question: Question) -> None:
        self._close(question)
        while question.left:
            if self._sent(question, question.left.popleft()):
                return
        self._end(question, wire.answer(question.query, wire.SERVER_FAILED))

    def _sent(self, question: Question, server: str) -> bool:
        question.number = secrets.randbelow(1 << 16)
        try:
            family = socket.AF_INET if ip_address(server).version == 4 else socket.AF_INET6
            opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        except (OSError, ValueError):
            return False
        try:
            opened.connect((server, PORT))
            opened.send(wire.numbered(question.message, question.number))
        except OSError:
            opened.close()
            return False
        question.server, question.socket = server, opened
        question.until = time.monotonic() + TRY_SECONDS
        self._open[id(question)] = question
        self._selector.register(opened, selectors.EVENT_READ, question)
        return True

    def _end(self, question: Question, message: bytes) -> None:
        self._close(question)
        self._askers[question.asker] -= 1
        if not self._askers[question.asker]:
            del self._askers[question.asker]
        question.reply(message)

    def _close(self, question: Question) -> None:
        if question.socket is not None:
            self._selector.unregister(question.socket)
            question.socket.close()
            question.socket = None
            del self._open[id(question)]


def ask_by_tcp(message: bytes, query: Query, servers: Iterable[str]) -> bytes:
    """Ask one server after another by TCP and wait for the answer (RFC 7766)."""
    for server in servers:
        number = secrets.randbelow(1 << 16)
        with suppress(OSError, ValueError):
            address = str(ip_address(server))
            with socket.create_connection((address, PORT), timeout=2 * TRY_SECONDS) as connection:
                send_framed(connection, wire.numbered(message, number))
                found = receive_framed(connection)
            if found is not None and wire.answers(found, query, number):
                return wire.numbered(found, query.number)
    return wire.answer(query, wire.SERVER_FAILED)


def send_framed(connection: socket.socket, message: bytes) -> None:
    """Send a message with its length before it."""
    connection.sendall(len(message).to_bytes(2, "big") + message)


def receive_framed(connection: socket.socket) -> bytes | None:
    """One message, None when the other side ends first."""
    head = _exactly(connection, 2)
    return None if head is None else _exactly(connection, int.from_bytes(head, "big"))


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            return None
        data += more
    return data


def _servers(text: str) -> Iterable[str]:
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            with suppress(ValueError):
                yield str(ip_address(words[1]))
