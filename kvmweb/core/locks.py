"""Row locks, taken one way everywhere."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import QuerySet

Q = TypeVar("Q", bound=QuerySet[Any])


def lock(rows: Q) -> Q:
    """`rows` under their locks until the transaction ends; rows joined to them stay free.

    FOR NO KEY UPDATE, because PostgreSQL takes a key lock on every row that an inserted one refers
    to: a plain FOR UPDATE would make an audit event wait for its project behind all the locks that
    its action holds already, and so deadlock whatever the order. SQLite locks the whole database.
    """
    return rows.select_for_update(of=("self",), no_key=True)
