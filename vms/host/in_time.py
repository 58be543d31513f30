"""Calls that may hang for ever, such as libvirt's, under a deadline, for asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

CALL_SECONDS = 20.0


async def in_time(work: Callable[..., T], *arguments: object, seconds: float = CALL_SECONDS) -> T:
    """What `work` returns; raises TimeoutError.

    In a daemon thread: one that hangs for ever must not keep the process from ending.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def settle(outcome: Callable[[], None]) -> None:
        if not answer.done():
            outcome()

    def run() -> None:
        try:
            result = work(*arguments)
        except BaseException as error:
            failure = error
            outcome: Callable[[], None] = lambda: answer.set_exception(failure)  # noqa: E731
        else:
            outcome = lambda: answer.set_result(result)  # noqa: E731
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, outcome)

    threading.Thread(target=run, daemon=True, name="in-time").start()
    return await asyncio.wait_for(answer, seconds)
