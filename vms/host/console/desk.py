"""Opens consoles as the panel asks for them and keeps each until one of its ends is gone."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from kvmweb.core.errors import HostBusy, Invalid
from kvmweb.host.config import HostConfig
from kvmweb.host.store import subject_name
from vms.host.console.dialing import dialled
from vms.host.console.graphics import open_graphics
from vms.host.console.guest import CHUNK, Guest, Kind, Wanted
from vms.host.console.serial import Lines
from vms.host.drivers.domains import Domains
from vms.host.layout import SERIAL_LOG

log = logging.getLogger(__name__)

MOST = 256
ANSWER = 12.0
GUEST_ENDED = 4410
_LIBVIRT_SECONDS = 6.0


class Desk:
    """Made in the loop that libvirtaio was registered for."""

    def __init__(self, config: HostConfig) -> None:
        self._config = config
        self._domains = Domains(config.libvirt_uri, call_seconds=_LIBVIRT_SECONDS)
        disks = config.paths.disks
        self._lines = Lines(config.libvirt_uri, lambda subject: disks / subject / SERIAL_LOG)
        self._open: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    def answer(self, body: dict[str, Any]) -> dict[str, str]:
        """Answer the panel's question, in whichever thread it is asked."""
        try:
            wanted = msgspec.convert(body, Wanted)
        except msgspec.ValidationError as error:
            raise Invalid(f"The host does not understand the question: {error}.") from error
        opening = asyncio.run_coroutine_threadsafe(self.open(wanted), self._loop)
        try:
            opening.result(ANSWER)
        except TimeoutError:
            opening.cancel()
            raise HostBusy("The console was not opened in time.") from None
        return {"kind": wanted.kind}

    async def open(self, wanted: Wanted) -> None:
        """Bring the console to the panel; it stays open after this returns."""
        subject = subject_name(wanted.vm)
        if len(self._open) >= MOST:
            raise HostBusy(f"{MOST} consoles of this host are open, which is as many as may be.")
        guest = await self._guest(subject, wanted.kind)
        try:
            line = await dialled(self._config, wanted)
        except BaseException:
            await guest.close()
            raise
        task = self._loop.create_task(spliced(line, guest), name=f"console {wanted.vm}")
        self._open.add(task)
        task.add_done_callback(self._done)

    async def guest_ended(self, subject: str) -> None:
        await self._lines.end(subject)

    async def _guest(self, subject: str, kind: Kind) -> Guest:
        if kind == "serial":
            return await self._lines.join(subject)
        return await open_graphics(self._domains, subject)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._open.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("console_failed console=%s", task.get_name(), exc_info=error)


async def spliced(line: ClientConnection, guest: Guest) -> None:
    """Carry what is said both ways until either end is gone, then free both."""
    outward = asyncio.create_task(_outward(guest, line))
    inward = asyncio.create_task(_inward(line, guest))
    try:
        await asyncio.wait({outward, inward}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended = line.close_code is None
        for task in (outward, inward):
            task.cancel()
        results = await asyncio.gather(outward, inward, return_exceptions=True)
        await guest.close()
        await line.close(GUEST_ENDED if ended else 1000)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _outward(guest: Guest, line: ClientConnection) -> None:
    try:
        while data := await guest.read():
            await line.send(data)
    except ConnectionClosed:
        await asyncio.Event().wait()  # the other direction ends by the same


async def _inward(line: ClientConnection, guest: Guest) -> None:
    try:
        async for message in line:
            if isinstance(message, bytes):
                for begin in range(0, len(message), CHUNK):
                    await guest.write(message[begin : begin + CHUNK])
    except (ConnectionClosed, OSError):
        return
