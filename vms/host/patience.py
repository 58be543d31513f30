"""Work that takes long, with word of it every second, so that the panel knows it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet

from kvmweb.host.progress import Report, Step


def telling(report: Report, sentence: str, work: Callable[[], None]) -> None:
    """Do `work`, which ends by its own deadline, and report how long it has taken so far."""
    begin = time.monotonic()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="long-work") as pool:
        done = pool.submit(work)
        while True:
            waited = int(time.monotonic() - begin)
            report(Step(key="", sentence=f"{sentence} ({waited} s)", state="running"))
            try:
                return done.result(timeout=1)
            except NotYet:
                if done.done():
                    raise
