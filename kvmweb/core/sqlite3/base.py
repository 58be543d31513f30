"""SQLite connections that outlive the request or task that opened them.

Django opens one for every request (each has a thread of its own) and Celery one for every task.
Opening costs more than most of what is asked then: the schema is parsed and every statement
prepared anew, and whoever closes the last one folds the write-ahead log into the database. So a
closed connection goes back to a pool, as on PostgreSQL.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from queue import Empty, Full, LifoQueue
from typing import Any, NamedTuple, TypeAlias
from weakref import WeakSet

from django.db.backends.sqlite3 import base

_KEPT = 16
File: TypeAlias = tuple[int, int]


class _Kept(NamedTuple):
    """A connection at rest, of which process and to which file: a database may be put in another's
    place, and SQLite forbids to carry a connection over a fork."""

    connection: sqlite3.Connection
    process: int
    file: File


_pool: LifoQueue[_Kept] = LifoQueue(_KEPT)


class DatabaseWrapper(base.DatabaseWrapper):
    """As Django's, but for where connections come from and go to."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._file: File | None = None
        self._cursors: WeakSet[sqlite3.Cursor] = WeakSet()

    def get_new_connection(self, conn_params: dict[str, Any]) -> sqlite3.Connection:
        """One that was kept, if there is any to this very file."""
        self._file = _identity(conn_params["database"])
        while self._file is not None:
            try:
                kept = _pool.get_nowait()
            except Empty:
                break
            if (kept.process, kept.file) == (os.getpid(), self._file):
                # Whoever loads fixtures or migrates switches it off for a while.
                kept.connection.execute("PRAGMA foreign_keys = ON")
                return kept.connection
        made: sqlite3.Connection = super().get_new_connection(conn_params)
        self._file = _identity(conn_params["database"])
        return made

    def create_cursor(self, name: str | None = None) -> sqlite3.Cursor:
        """Remembered until it is gone: one that was not read to its end holds on to what the
        database was then."""
        cursor: sqlite3.Cursor = super().create_cursor(name)
        self._cursors.add(cursor)
        return cursor

    def _close(self) -> None:
        if self.connection is None or self._file is None or self.in_atomic_block:
            super()._close()  # type: ignore[misc]  # django-stubs do not know it
            return
        try:
            for cursor in list(self._cursors):
                cursor.close()
            self.connection.rollback()
            _pool.put_nowait(_Kept(self.connection, os.getpid(), self._file))
        except (Full, sqlite3.Error):
            super()._close()  # type: ignore[misc]  # django-stubs do not know it


def _identity(database: str | Path) -> File | None:
    """What the file is, whatever its name; None where there is none."""
    try:
        found = Path(database).stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino
