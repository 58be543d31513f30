"""Consoles of real guests, brought by a host's desk to a panel that listens on a unix socket."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import libvirt
import pytest
from websockets.asyncio.server import ServerConnection, unix_serve
from websockets.exceptions import ConnectionClosed

from kvmweb.core.envelope import open_
from tests.libvirtd import LibvirtHost
from tests.vms.host.conftest import ROOT
from tests.vms.host.test_reconcile import Vm, made
from vms.host.console.desk import GUEST_ENDED
from vms.host.console.serial import BACKLOG, Line

pytestmark = [pytest.mark.libvirt, pytest.mark.timeout(240), pytest.mark.asyncio]

KEY = "k" * 32
PATIENCE = 60.0
HELLO = b"RFB 003.008\n"


class Panel:
    """The other end: takes what the host dials, by the number it was given."""

    def __init__(self, host: LibvirtHost, folder: Path) -> None:
        self.socket = folder / "panel.sock"
        self._lines: dict[str, asyncio.Future[ServerConnection]] = {}
        self._host = host
        self._desk: asyncio.subprocess.Process | None = None
        self._numbers = 0

    async def answer(self, line: ServerConnection) -> None:
        assert line.request is not None
        envelope = json.loads(b64decode(line.request.headers["X-Kvmweb-Host"]))
        number = open_(KEY, envelope)["dial"]
        assert line.request.path == f"/ws/dial/{number}/"
        self._lines[number].set_result(line)
        await line.wait_closed()

    async def start_desk(self) -> None:
        self._desk = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.vms.host.desk_process"),
            *(self._host.uri, str(self._host.folder), KEY),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        assert await self._said() == "ready"

    async def ask(self, subject: str, kind: str) -> tuple[str, ServerConnection | None]:
        """What the desk answers, and the line if it dialled."""
        assert self._desk is not None
        assert self._desk.stdin is not None
        self._numbers += 1
        number = f"n{self._numbers}"
        self._lines[number] = asyncio.get_running_loop().create_future()
        addresses = [f"unix:{self.socket}.gone", f"unix:{self.socket}"]
        wanted = {"vm": subject, "kind": kind, "dial": number, "addresses": addresses}
        self._desk.stdin.write(json.dumps(wanted).encode() + b"\n")
        said = await self._said()
        return said, await self._lines[number] if said == "open" else None

    async def open(self, guest: Vm, kind: str) -> ServerConnection:
        said, line = await self.ask(guest.spec().subject, kind)
        assert said == "open"
        assert line is not None
        return line

    def held(self) -> int:
        """How many files the desk has open."""
        assert self._desk is not None
        return len(list(Path(f"/proc/{self._desk.pid}/fd").iterdir()))

    async def kill_desk(self) -> None:
        assert self._desk is not None
        self._desk.send_signal(signal.SIGKILL)
        await self._desk.wait()

    async def _said(self) -> str:
        assert self._desk is not None
        assert self._desk.stdout is not None
        async with asyncio.timeout(PATIENCE):
            return (await self._desk.stdout.readline()).decode().strip()


@asynccontextmanager
async def panel_of(host: LibvirtHost, folder: Path) -> AsyncIterator[Panel]:
    panel = Panel(host, folder)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(
            unix_serve(panel.answer, str(panel.socket), compression=None)
        )
        await panel.start_desk()
        stack.push_async_callback(panel.kill_desk)
        yield panel


async def heard(line: ServerConnection, text: bytes) -> bytes:
    """All that is said up to and with this text."""
    said = b""
    async with asyncio.timeout(PATIENCE):
        while text not in said:
            said += await line.recv(decode=False)
    return said


async def ended(line: ServerConnection) -> int | None:
    """The code it is closed with."""
    async with asyncio.timeout(PATIENCE):
        try:
            while True:
                await line.recv()
        except ConnectionClosed:
            return line.close_code


async def until(fact: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await fact():  # noqa: ASYNC110  libvirt tells nobody
            await asyncio.sleep(0.05)


async def test_consoles_of_a_guest_are_brought_and_end_with_it(
    host: LibvirtHost, image: Path, tmp_path: Path
) -> None:
    with made(host, image) as guest:
        async with panel_of(host, tmp_path) as panel:
            assert await panel.ask(guest.spec().subject, "serial") == ("vm_off", None)
            assert await panel.ask(guest.spec().subject, "graphical") == ("vm_off", None)
            await asyncio.to_thread(guest.must)
            await asyncio.to_thread(guest.wait_for_line, "login:")

            first = await panel.open(guest, "serial")
            assert b"kvmweb-hello: configured" in await heard(first, b"login:")
            second = await panel.open(guest, "serial")
            assert b"kvmweb-hello: configured" in await heard(second, b"login:")
            await first.send(b"mallory\r")
            for line in (first, second):
                await heard(line, b"mallory\r\nPassword:")

            screens = [await panel.open(guest, "graphical") for _ in range(2)]
            for screen in screens:
                assert await heard(screen, b"\n") == HELLO
                await screen.send(HELLO)
                assert await heard(screen, b"\x01\x01")
            assert host.run("ss", "-Hltn") == ""

            await first.close()
            await second.send(b"\r")
            await heard(second, b"incorrect")
            await second.close()

            # The line is given up with the last who left: libvirt lets others have it.
            async def is_free() -> bool:
                return await asyncio.to_thread(_can_open, host, guest)

            await until(is_free)
            connection = libvirt.open(host.uri)
            stream = connection.newStream()
            connection.lookupByUUIDString(guest.spec().subject).openConsole(None, stream, 0)
            assert await panel.ask(guest.spec().subject, "serial") == ("console_taken", None)
            stream.abort()
            connection.close()

            lines = [await panel.open(guest, "serial"), *screens]
            await asyncio.to_thread(guest.must, present=False)
            assert [await ended(line) for line in lines] == [GUEST_ENDED] * 3
        assert guest.leaves_nothing()


def _can_open(host: LibvirtHost, guest: Vm) -> bool:
    connection = libvirt.open(host.uri)
    stream = connection.newStream()
    try:
        connection.lookupByUUIDString(guest.spec().subject).openConsole(None, stream, 0)
    except libvirt.libvirtError:
        return False
    else:
        stream.abort()
        return True
    finally:
        connection.close()


async def test_a_desk_that_dies_takes_nothing_with_it(
    host: LibvirtHost, empty_image: Path, tmp_path: Path
) -> None:
    with made(host, empty_image, stop_seconds=1) as guest:
        async with panel_of(host, tmp_path) as panel:
            held = 0
            for _ in range(5):
                await asyncio.to_thread(guest.must)
                lines = [await panel.open(guest, kind) for kind in ("serial", "graphical")]
                await asyncio.to_thread(guest.must, present=False)
                assert [await ended(line) for line in lines] == [GUEST_ENDED] * 2
                held = held or panel.held()

            async def holds_no_more() -> bool:
                return panel.held() <= held

            await until(holds_no_more)
            await asyncio.to_thread(guest.must)
            for _ in range(5):  # the panel's process dies, again and again
                for line in [await panel.open(guest, kind) for kind in ("serial", "graphical")]:
                    line.transport.abort()
            await until(holds_no_more)
            lines = [await panel.open(guest, kind) for kind in ("serial", "graphical")]
            await panel.kill_desk()
            for line in lines:
                await ended(line)
            await panel.start_desk()

            async def is_free() -> bool:
                return await asyncio.to_thread(_can_open, host, guest)

            await until(is_free)
            await panel.open(guest, "serial")
            screen = await panel.open(guest, "graphical")
            assert await heard(screen, b"\n") == HELLO


async def test_who_is_slow_is_shown_the_newest_and_holds_up_nobody() -> None:
    line = Line(None, None, b"booting\r\n")
    slow, quick = line.sit(lambda _: None), line.sit(lambda _: None)
    assert await quick.read() == b"booting\r\n"
    said = b""
    for number in range(2 * BACKLOG // 1024):
        line.heard(f"{number:1023}\n".encode())
        said += await quick.read()
    assert len(said) == 2 * BACKLOG
    line.end()
    shown = b""
    while data := await slow.read():
        shown += data
    assert len(shown) <= BACKLOG
    assert b"output was skipped" in shown
    assert shown.endswith(said[-1024:])
    assert await quick.read() == b""
