"""What a failure of the database means to the person who asked."""

from __future__ import annotations

import logging

from django.db import OperationalError

from kvmweb.core.errors import Busy, KvmwebError

log = logging.getLogger(__name__)


def known(error: Exception) -> KvmwebError | None:
    """`error` if a person may see it, or what it means to them; None for our own bugs.

    SQLite says "database is locked" after its time-out, PostgreSQL that it cannot be reached, or
    that it chose the transaction to end a deadlock: in each case nothing was written.
    """
    if isinstance(error, OperationalError):
        log.warning("database_busy reason=%s", error)
        return Busy(
            "The panel's database did not answer in time.", remedy="Try again in some seconds."
        )
    return error if isinstance(error, KvmwebError) else None
