"""Lines that hosts dial: each is expected, by a number that only its host was told, and taken once.

A host proves by its key that it is the one that was asked.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
from base64 import b64decode
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kvmweb.core.envelope import Forged, open_
from kvmweb.hosts.models import Host

log = logging.getLogger(__name__)

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]
HEADER = b"x-kvmweb-host"
_PATH = re.compile(r"/ws/dial/([\w-]{43})/")


class Line:
    """A socket of a host, held by the task that serves a person."""

    def __init__(self, receive: Callable[[], Awaitable[Any]], send: App) -> None:
        self._receive = receive
        self._send: Any = send
        self.over = asyncio.Event()

    async def hear(self) -> bytes | int:
        """What the guest says next, or the code that the host ended it with."""
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return int(message.get("code") or 1006)
            if data := message.get("bytes"):
                return bytes(data)

    async def say(self, data: bytes) -> None:
        """Waits while the host is slow."""
        await self._send({"type": "websocket.send", "bytes": data})

    def hang_up(self) -> None:
        self.over.set()


class Expected:
    """A line that is going to be dialled under `number`."""

    def __init__(self, key: str) -> None:
        self.number = secrets.token_urlsafe(32)
        self.key = key
        self.line: asyncio.Future[Line] = asyncio.get_running_loop().create_future()


_expected: dict[str, Expected] = {}


@contextmanager
def expecting(host: Host) -> Iterator[Expected]:
    """While the context lasts, `host` may dial."""
    one = Expected(host.key)
    _expected[one.number] = one
    try:
        yield one
    finally:
        _expected.pop(one.number, None)
        if not one.line.done():
            one.line.cancel()


def answering_hosts(application: App) -> App:
    """Hosts come in here, before anybody is asked for a session."""

    async def answered(scope: dict[str, Any], receive: Any, send: Any) -> None:
        found = _PATH.fullmatch(scope["path"])
        if found is None:
            await application(scope, receive, send)
        else:
            await _take(found[1], scope, receive, send)

    return answered


async def _take(number: str, scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()  # websocket.connect
    expected = _expected.pop(number, None) if _is_the_host(number, scope) else None
    if expected is None or expected.line.done():
        log.warning("a line was dialled that nobody expects, or not by its host")
        await send({"type": "websocket.close", "code": 4404})
        return
    await send({"type": "websocket.accept"})
    line = Line(receive, send)
    expected.line.set_result(line)
    await line.over.wait()
    await send({"type": "websocket.close", "code": 1000})


def _is_the_host(number: str, scope: dict[str, Any]) -> bool:
    expected = _expected.get(number)
    header = dict(scope["headers"]).get(HEADER, b"")
    try:
        envelope = json.loads(b64decode(header, validate=True))
        return expected is not None and open_(expected.key, envelope).get("dial") == number
    except (ValueError, Forged):
        return False
