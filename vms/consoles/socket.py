"""One person at one console: `/ws/consoles/<ticket>/`.

Binary frames are what the guest says and hears, text frames are JSON of ours and come from here
alone. Whether the person may still look, and may type, is asked again every few seconds and
whenever somebody comes, goes or takes over.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.conf import settings
from django.contrib.auth.models import User
from django.db import OperationalError

from kvmweb.core.errors import KvmwebError, NotFound
from kvmweb.hosts.ask import ask
from kvmweb.projects.actions import user_of_token
from vms.actions.consoles import (
    Standing,
    end_console,
    group_of,
    open_console,
    session_holder,
    standing,
    tell_others,
    token_holder,
)
from vms.consoles.rfb import ClientMessages, Unreadable
from vms.consoles.switchboard import Expected, Line, expecting
from vms.models import Console

log = logging.getLogger(__name__)

ANONYMOUS, STRANGER, GUEST_ENDED, NO_CONSOLE, LOST, UNREADABLE = 4401, 4404, 4410, 4502, 4503, 4400
LOOK_AGAIN = 3.0
PATIENCE = 10.0
_BLIND = 5
"""So many looks in a row may fail because the database is busy."""

_CHUNK = 256 << 10
_asking = ThreadPoolExecutor(16, thread_name_prefix="ask-console")


@dataclass(frozen=True, slots=True)
class Ending:
    """Why it is over: the close code, and words for the page."""

    code: int
    why: str
    message: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Sitter:
    """Who opened the socket, and by what session or token."""

    user: User
    holder: str


async def console(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The ASGI application of one socket."""
    await receive()  # websocket.connect
    ticket = scope["url_route"]["kwargs"]["ticket"]
    sitter = await database_sync_to_async(sitter_of)(scope)
    if sitter is None:
        await send({"type": "websocket.close", "code": ANONYMOUS})
        return
    try:
        row = await database_sync_to_async(open_console)(sitter.user, ticket, holder=sitter.holder)
    except KvmwebError:
        await send({"type": "websocket.close", "code": STRANGER})
        return
    await send({"type": "websocket.accept"})
    try:
        ending = await _Sitting(row, scope, receive, send).last()
    finally:
        await database_sync_to_async(end_console)(row)
    with suppress(Exception):  # whoever has gone is told nothing
        words = {"type": "ended", "why": ending.why}
        words |= {"message": ending.message, "remedy": ending.remedy}
        await send({"type": "websocket.send", "text": json.dumps(words)})
        await send({"type": "websocket.close", "code": ending.code})


def sitter_of(scope: dict[str, Any]) -> Sitter | None:
    """Who it is as of now: not switched off, still logged in, the token not revoked."""
    if "token" in scope:
        found = user_of_token(scope["token"])
        return Sitter(found[0], token_holder(found[1].uuid)) if found else None
    session, user = scope.get("session"), scope.get("user")
    key = session.session_key if session is not None else None
    if session is None or not key or user is None or not session.exists(key):
        return None
    known = User.objects.filter(pk=user.pk, is_active=True).first()
    return Sitter(known, session_holder(key)) if known else None


class _Sitting:
    """From the opened ticket to the end."""

    def __init__(self, row: Console, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self._row = row
        self._scope = scope
        self._receive = receive
        self._send = send
        self._screen = ClientMessages() if row.kind == Console.Kind.GRAPHICAL else None
        self._types = False
        self._news = asyncio.Event()
        self._shown: Standing | None = None

    async def last(self) -> Ending:
        """Until it is over, and why."""
        with expecting(self._row.vm.host) as expected:
            try:
                await self._look()
                line = await self._dialled(expected)
            except KvmwebError as error:
                return Ending(NO_CONSOLE, error.code, error.message, error.remedy)
        try:
            return await self._carry(line)
        finally:
            line.hang_up()

    async def _dialled(self, expected: Expected) -> Line:
        body = {
            "vm": str(self._row.vm.uuid),
            "kind": self._row.kind,
            "dial": expected.number,
            "addresses": addresses(),
        }
        host = self._row.vm.host
        asked: Callable[[], Any] = lambda: ask(host, "console", body, seconds=PATIENCE)  # noqa: E731
        await asyncio.get_running_loop().run_in_executor(_asking, asked)
        try:
            return await asyncio.wait_for(expected.line, PATIENCE)
        except TimeoutError:
            raise NotFound("The host's line did not arrive.", code="line_lost") from None

    async def _carry(self, line: Line) -> Ending:
        listening = asyncio.create_task(self._listen())
        tasks = [
            asyncio.create_task(self._inward(line)),
            asyncio.create_task(self._outward(line)),
            asyncio.create_task(self._watch(line)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return next(iter(done)).result()
        except OSError:  # an end that has gone is written to
            return Ending(LOST, "lost", "The line to the host was lost.")
        finally:
            for task in (*tasks, listening):
                task.cancel()
            await asyncio.gather(*tasks, listening, return_exceptions=True)

    async def _inward(self, line: Line) -> Ending:
        """What the person says."""
        while (message := await self._receive())["type"] != "websocket.disconnect":
            data = message.get("bytes") or b""
            try:
                data = self._passed(data)
            except Unreadable as error:
                return Ending(UNREADABLE, "unreadable", str(error))
            for begin in range(0, len(data), _CHUNK):
                await line.say(data[begin : begin + _CHUNK])
        return Ending(1000, "left")

    def _passed(self, data: bytes) -> bytes:
        if self._screen is not None:
            return self._screen.pass_on(data, types=self._types)
        return data if self._types else b""

    async def _outward(self, line: Line) -> Ending:
        """What the guest says."""
        while isinstance(said := await line.hear(), bytes):
            await self._send({"type": "websocket.send", "bytes": said})
        if said == GUEST_ENDED:
            return Ending(GUEST_ENDED, "guest_ended", "The guest ended, or its console was closed.")
        return Ending(LOST, "lost", "The line to the host was lost.")

    async def _watch(self, line: Line) -> Ending:
        """What may be done, as it changes."""
        failed = 0
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), LOOK_AGAIN)
            self._news.clear()
            typed = self._types
            try:
                if await database_sync_to_async(sitter_of)(self._scope) is None:
                    return Ending(ANONYMOUS, "signed_out", "You have signed out.")
                await self._look()
                failed = 0
            except NotFound:
                return Ending(STRANGER, "gone", "You may not look at this console any more.")
            except OperationalError:
                failed += 1
                if failed > _BLIND:
                    return Ending(LOST, "lost", "The panel's database does not answer.")
            if typed and not self._types and self._screen is not None:
                await line.say(self._screen.let_go())

    async def _look(self) -> None:
        """Find out what may be done and show it if it has changed. Raises NotFound."""
        now = await database_sync_to_async(standing)(self._row)
        self._types = now.types
        if now != self._shown:
            self._shown = now
            words = {
                "type": "people",
                "console": str(self._row.uuid),
                "types": now.types,
                "may_take": now.may_take,
                "people": [
                    {"console": one, "name": name, "types": types}
                    for one, name, types in now.people
                ],
            }
            await self._send({"type": "websocket.send", "text": json.dumps(words)})

    async def _listen(self) -> None:
        """Hear of others at once; without Redis it is found out at the next look."""
        try:
            layer = get_channel_layer()
            channel = await layer.new_channel()
            await layer.group_add(group_of(self._row), channel)
            await database_sync_to_async(tell_others)(self._row)
            try:
                while True:
                    await layer.receive(channel)
                    self._news.set()
            finally:
                with suppress(Exception):
                    await layer.group_discard(group_of(self._row), channel)
        except Exception as error:
            log.warning("a console hears nothing of others: %s", error)


def addresses() -> list[str]:
    """Where hosts reach this very process: by its own socket on this machine, else as browsers."""
    own = settings.KVMWEB_DIAL_SOCKET
    return [*([f"unix:{own}"] if own else []), settings.KVMWEB_URL]
