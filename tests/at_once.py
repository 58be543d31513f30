"""The same thing done by many at the same moment, each on a database connection of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from django.db import connection

R = TypeVar("R")


def at_once(count: int, call: Callable[[int], R]) -> list[R | Exception]:
    """What `call(0)` … `call(count - 1)` returned or raised."""
    start = Barrier(count)

    def one(number: int) -> R | Exception:
        try:
            start.wait(timeout=60)
            return call(number)
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def split(results: list[R | Exception]) -> tuple[list[R], list[Exception]]:
    """Those that went well, and what the others raised."""
    good = [result for result in results if not isinstance(result, Exception)]
    return good, [result for result in results if isinstance(result, Exception)]
