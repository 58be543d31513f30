"""Asking a host again and again while somebody looks, and no longer.

All who look at something of one host share one question every two seconds: what a host does for it
does not grow with them, and it keeps nothing, so it stops when nobody asks any more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias

from channels.db import database_sync_to_async

from kvmweb.core.errors import KvmwebError
from kvmweb.hosts.ask import ask
from kvmweb.hosts.models import Host

log = logging.getLogger(__name__)

EVERY = 2.0
PATIENCE = 4.0
_HOSTS_AT_ONCE = 8
_MOST_ASKED = 200

Wish: TypeAlias = tuple[str, Any]
"""A list of the question by its name, and what to put into it."""
Answers: TypeAlias = "asyncio.Queue[Mapping[str, Any] | None]"

_threads = ThreadPoolExecutor(_HOSTS_AT_ONCE, thread_name_prefix="watching")
_watched: dict[tuple[asyncio.AbstractEventLoop, int], _Watched] = {}


@asynccontextmanager
async def watching(host: int, wish: Wish) -> AsyncIterator[Answers]:
    """While it lasts, the queue gets each answer of the host; None when there was none."""
    key = (asyncio.get_running_loop(), host)
    watched = _watched.get(key) or _watched.setdefault(key, _Watched(host))
    answers: Answers = asyncio.Queue(maxsize=2)
    watched.add(answers, wish)
    try:
        yield answers
    finally:
        if not watched.remove(answers) and _watched.get(key) is watched:
            del _watched[key]


class _Watched:
    """One host that is looked at."""

    def __init__(self, host: int) -> None:
        self._host = host
        self._wishes: dict[Answers, Wish] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, answers: Answers, wish: Wish) -> None:
        self._wishes[answers] = wish
        if self._task is None:
            self._task = asyncio.create_task(self._go_on())

    def remove(self, answers: Answers) -> bool:
        """Whether others still look."""
        del self._wishes[answers]
        if not self._wishes and self._task is not None:
            self._task.cancel()
            self._task = None
        return bool(self._wishes)

    async def _go_on(self) -> None:
        while True:
            try:
                answer = await self._answer()
            except Exception:
                log.exception("host %s could not be looked at", self._host)
                answer = None
            for queue in self._wishes:
                with suppress(asyncio.QueueFull):
                    queue.put_nowait(answer)
            await asyncio.sleep(EVERY)

    async def _answer(self) -> Mapping[str, Any] | None:
        host = await database_sync_to_async(Host.objects.filter(pk=self._host).first)()
        if host is None:
            return None
        loop, body = asyncio.get_running_loop(), self._body()
        try:
            found = await loop.run_in_executor(
                _threads, lambda: ask(host, "measure", body, seconds=PATIENCE)
            )
        except KvmwebError as error:
            log.info("host %s is looked at and tells nothing: %s", host, error.message)
            return None
        return found if isinstance(found, dict) else None

    def _body(self) -> dict[str, list[Any]]:
        body: dict[str, list[Any]] = {}
        for name, one in self._wishes.values():
            listed = body.setdefault(name, [])
            if one not in listed and len(listed) < _MOST_ASKED:
                listed.append(one)
        return body
