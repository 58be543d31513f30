"""The serial line of a guest, shared by all who look.

libvirt lets one at a time have it, so it is opened once per guest and given up with the last who
leaves; then `virsh console` gets it. Its stream comes through the asyncio loop that libvirtaio was
registered for. libvirt's client queues without limit what it is sent, so everything is taken as it
comes: who is too slow for it is shown the newest instead of all. What is typed waits until the
guest takes it. A connection of its own keeps a guest that takes nothing from holding up others.

Nothing is asked of a stream whose guest has ended but to be let go: libvirt may deadlock when one
is closed while its domain is undefined.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import libvirt

from vms.host.console.graphics import missing, running
from vms.host.console.guest import CHUNK, ConsoleBusy, ConsoleTaken
from vms.host.in_time import in_time

log = logging.getLogger(__name__)

RECENT = 128 << 10
BACKLOG = 512 << 10
SECONDS = 8.0
_AGAIN = 0.02
_SKIPPED = b"\r\n[... output was skipped ...]\r\n"
_EVENTS = (
    libvirt.VIR_STREAM_EVENT_READABLE
    | libvirt.VIR_STREAM_EVENT_ERROR
    | libvirt.VIR_STREAM_EVENT_HANGUP
)
_WOULD_BLOCK = -2


class Seat:
    """One who looks at a serial line."""

    def __init__(self, line: Line, recent: bytes, leave: Callable[[Seat], Any]) -> None:
        self._line = line
        self._pending = bytearray(recent)
        self._news = asyncio.Event()
        self._news.set()
        self._leave = leave

    def hear(self, data: bytes) -> None:
        """The guest said this."""
        if len(self._pending) + len(data) > BACKLOG:
            self._pending[:] = _SKIPPED + self._line.recent[-BACKLOG // 8 :]
        else:
            self._pending += data
        self._news.set()

    def wake(self) -> None:
        self._news.set()

    async def read(self) -> bytes:
        while not self._pending and not self._line.has_ended:
            self._news.clear()
            await self._news.wait()
        data = bytes(self._pending[:CHUNK])
        del self._pending[: len(data)]
        return data

    async def write(self, data: bytes) -> None:
        await self._line.write(data)

    async def close(self) -> None:
        await self._leave(self)


class Line:
    """A serial line that is open."""

    def __init__(self, connection: Any, stream: Any, recent: bytes) -> None:
        self._connection = connection
        self._stream = stream
        self._typing = asyncio.Lock()
        self.recent = bytearray(recent)
        self.seats: set[Seat] = set()
        self.has_ended = False

    async def listen(self) -> None:
        """Take what the guest says from now on. What is registered is never freed (see
        `_let_go`), so it holds nothing."""
        take = weakref.WeakMethod(self._on_event)

        def on_event(_stream: Any, events: int, _opaque: Any) -> None:
            if (found := take()) is not None:
                found(events)

        await in_time(self._stream.eventAddCallback, _EVENTS, on_event, None, seconds=SECONDS)

    def sit(self, leave: Callable[[Seat], Any]) -> Seat:
        """Somebody more who looks; told first what was said last."""
        seat = Seat(self, bytes(self.recent), leave)
        self.seats.add(seat)
        return seat

    def heard(self, data: bytes) -> None:
        """The guest said this."""
        self.recent += data
        del self.recent[:-RECENT]
        for seat in self.seats:
            seat.hear(data)

    async def write(self, data: bytes) -> None:
        """Wait until all of it was taken."""
        async with self._typing:
            while data and not self.has_ended:
                try:
                    sent = await in_time(self._stream.send, data, seconds=SECONDS)
                except (libvirt.libvirtError, TimeoutError) as error:
                    log.info("serial_line_lost reason=%s", error)
                    self.end()
                    return
                if sent == _WOULD_BLOCK:
                    await asyncio.sleep(_AGAIN)
                else:
                    data = data[sent:]

    def end(self) -> None:
        """Tell all who look that no more will come."""
        self.has_ended = True
        for seat in self.seats:
            seat.wake()

    async def close(self) -> None:
        """A connection ends with the last that refers to it, its stream included."""
        self.end()
        held = [self._stream, self._connection]
        self._stream = self._connection = None
        with suppress(libvirt.libvirtError, TimeoutError):
            await in_time(_let_go, held, seconds=SECONDS)

    def _on_event(self, events: int) -> None:
        """Called in the loop."""
        try:
            self._take(events)
        except libvirt.libvirtError as error:
            log.info("serial_line_ended reason=%s", error)
            self.end()

    def _take(self, events: int) -> None:
        while not self.has_ended and events & libvirt.VIR_STREAM_EVENT_READABLE:
            data = self._stream.recv(CHUNK)
            if data == _WOULD_BLOCK:
                break
            if not data:
                self.end()
            else:
                self.heard(data)
        if events & (libvirt.VIR_STREAM_EVENT_ERROR | libvirt.VIR_STREAM_EVENT_HANGUP):
            self.end()


class Lines:
    """The serial lines of a host that somebody looks at."""

    def __init__(self, uri: str, log_of: Callable[[str], Path]) -> None:
        self._uri = uri
        self._log_of = log_of
        self._lines: dict[str, Line] = {}
        self._turns: dict[str, asyncio.Lock] = {}

    async def join(self, subject: str) -> Seat:
        """A seat at a guest's line, opened if nobody has it. Raises VmOff, ConsoleMissing,
        ConsoleTaken, ConsoleBusy."""
        async with self._turn(subject):
            line = self._lines.get(subject)
            if line is not None and line.has_ended:
                await self._give_up(subject, line)
                line = None
            if line is None:
                line = self._lines[subject] = await self._open(subject)
            return line.sit(lambda seat: self._left(subject, line, seat))

    async def end(self, subject: str) -> None:
        """Its guest has ended: let go of the line before the domain may be undefined."""
        if (line := self._lines.get(subject)) is not None:
            line.end()
            async with self._turn(subject):
                await self._give_up(subject, line)

    async def _left(self, subject: str, line: Line, seat: Seat) -> None:
        async with self._turn(subject):
            line.seats.discard(seat)
            if not line.seats:
                await self._give_up(subject, line)

    async def _give_up(self, subject: str, line: Line) -> None:
        if self._lines.get(subject) is line:
            del self._lines[subject]
            await line.close()

    async def _open(self, subject: str) -> Line:
        try:
            connection, stream = await in_time(_opened, self._uri, subject, seconds=SECONDS)
        except TimeoutError:
            raise ConsoleBusy(
                "libvirt did not open the serial line in time.", remedy="Try again in a moment."
            ) from None
        except libvirt.libvirtError as error:
            raise _refusal(error) from error
        line = Line(connection, stream, tail(self._log_of(subject)))
        await line.listen()
        return line

    def _turn(self, subject: str) -> asyncio.Lock:
        return self._turns.setdefault(subject, asyncio.Lock())


def tail(file: Path) -> bytes:
    """The last of what a guest said before anybody looked; virtlogd begins a new file at times."""
    said = b""
    for part in (file, file.with_name(f"{file.name}.0")):
        with suppress(OSError), part.open("rb") as log_file:
            size = part.stat().st_size
            log_file.seek(max(0, size - (RECENT - len(said))))
            said = log_file.read(RECENT - len(said)) + said
        if len(said) >= RECENT:
            break
    return said


def _opened(uri: str, subject: str) -> tuple[Any, Any]:
    connection = libvirt.open(uri)
    try:
        stream = connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
        running(connection, subject).openConsole(None, stream, 0)
    except BaseException:
        connection.close()
        raise
    return connection, stream


def _let_go(held: list[Any]) -> None:
    """Empties the list."""
    stream, connection = held
    held.clear()
    with suppress(libvirt.libvirtError):
        stream.eventRemoveCallback()
    with suppress(libvirt.libvirtError):
        stream.abort()
    # libvirt forgets what was registered with a callback without freeing it, the stream included,
    # which would keep the connection (seen with 9.0: virNetClientStreamEventRemoveCallback).
    stream.__del__()
    connection.close()


def _refusal(error: libvirt.libvirtError) -> Exception:
    text = error.get_error_message() or ""
    if "Active console session" in text:
        return ConsoleTaken(
            "Somebody on the host has this console open, as by virsh console.",
            remedy="It can be opened here once they have left.",
        )
    if error.get_error_code() == libvirt.VIR_ERR_INTERNAL_ERROR:
        return missing("serial line")
    return ConsoleBusy(f"libvirt did not open the serial line: {text}.", remedy="Try again.")
