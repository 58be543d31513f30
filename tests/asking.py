"""A host that answers questions: the monitor's ear alone, on a real Redis."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from kvmweb.host.answering import Answers, answer_questions
from kvmweb.host.config import HostConfig
from kvmweb.hosts.models import Host
from tests.lab.broker import Broker


@contextmanager
def answering(host: Host, broker: Broker, answers: Answers) -> Iterator[None]:
    """While the context lasts, `host` listens and answers."""
    config = HostConfig(name=host.name, broker=broker.url, key=host.key)
    loop = asyncio.new_event_loop()
    task = loop.create_task(answer_questions(config, answers))
    ready = threading.Event()
    loop.call_soon(ready.set)  # after the first step of the task

    def run() -> None:
        with loop_closed(loop):
            loop.run_until_complete(asyncio.wait({task}))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(10)


@contextmanager
def loop_closed(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    try:
        yield
    finally:
        loop.close()
