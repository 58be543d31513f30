"""The one thread of a host that owns every netlink socket and does every write.

Tasks, the watcher and commands submit to its queue, so a host has one writer and needs no lock.
The thread starts with the first submission, in that caller's namespace, and never before a fork.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

R = TypeVar("R")


class Owner:
    """Runs what is submitted, one after another, on one thread."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="network-owner")

    def submit(self, call: Callable[[], R]) -> Future[R]:
        """Queue `call`. Waiting for the result on the owner's own thread would never end."""
        return self._thread.submit(call)

    def run(self, call: Callable[[], R]) -> R:
        """Queue `call` and wait for its result."""
        return self.submit(call).result()

    def close(self) -> None:
        """Finish what is queued and end the thread."""
        self._thread.shutdown()
