"""Writing what hosts measured, beside the work of the control worker and never in its way.

A disk that is busy makes whoever writes to it wait, so a thread of its own does it. What it cannot
write in time is dropped: a gap in a chart is better than a job that waits.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path

from django.conf import settings

from kvmweb.metrics.rings import Rings

log = logging.getLogger(__name__)

MOST_WAITING = 100


def rings() -> Rings:
    return Rings(Path(settings.KVMWEB_METRICS))


class Writer:
    """Does one thing after another in its own thread, at most `most` of them waiting."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="metrics")
        self._room = threading.BoundedSemaphore(most)

    def later(self, write: Callable[[Rings], object]) -> bool:
        """Have it written; False when it was dropped."""
        if not self._room.acquire(blocking=False):
            log.warning("metrics dropped: the disk does not keep up")
            return False
        self._thread.submit(write, rings()).add_done_callback(self._done)
        return True

    def settle(self) -> None:
        """Wait until all that was given so far is written."""
        self._thread.submit(lambda: None).result()

    def _done(self, written: Future[object]) -> None:
        self._room.release()
        if error := written.exception():
            log.warning("metrics not written: %s", error)


@cache
def writer() -> Writer:
    """The one of this process."""
    return Writer()
