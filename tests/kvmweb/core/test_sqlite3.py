"""Connections are kept, and yet nothing of one user's is seen by the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connections

from kvmweb.core.sqlite3.base import DatabaseWrapper
from kvmweb.settings import env

pytestmark = [pytest.mark.db, pytest.mark.django_db]

Open = Callable[[], DatabaseWrapper]


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Open]:
    opened: list[DatabaseWrapper] = []

    def one() -> DatabaseWrapper:
        entry = env.database("", tmp_path / "kept.sqlite3")
        defaults = connections.settings["default"]
        made = DatabaseWrapper({**defaults, **entry}, "default")
        made.ensure_connection()
        opened.append(made)
        return made

    yield one
    for each in opened:
        each.close()


def ask(database: DatabaseWrapper, sql: str) -> list[object]:
    with database.cursor() as cursor:
        cursor.execute(sql)
        return [row[0] for row in cursor.fetchall()]


def test_the_next_one_gets_what_was_given_back(connect: Open) -> None:
    first, second = connect(), connect()
    raw = first.connection
    assert second.connection is not raw
    first.close()
    assert connect().connection is raw


def test_what_was_not_committed_is_gone(connect: Open) -> None:
    first = connect()
    ask(first, "CREATE TABLE things (name TEXT)")
    first.set_autocommit(False)
    ask(first, "INSERT INTO things VALUES ('half')")
    ask(first, "PRAGMA foreign_keys = OFF")
    first.close()
    again = connect()
    assert again.get_autocommit()
    assert ask(again, "SELECT name FROM things") == []
    assert ask(again, "PRAGMA foreign_keys") == [1]


def test_an_answer_nobody_read_to_its_end_holds_on_to_nothing(connect: Open) -> None:
    first, other = connect(), connect()
    ask(first, "CREATE TABLE things (name INTEGER)")
    ask(first, "INSERT INTO things VALUES (1), (2), (3)")
    cursor = first.cursor()
    cursor.execute("SELECT name FROM things")
    cursor.fetchone()
    first.close()
    ask(other, "DELETE FROM things")
    assert ask(connect(), "SELECT name FROM things") == []


def test_a_database_in_the_place_of_another_is_opened_anew(connect: Open, tmp_path: Path) -> None:
    first = connect()
    ask(first, "CREATE TABLE things (name TEXT)")
    first.close()
    for file in tmp_path.iterdir():
        file.unlink()
    assert ask(connect(), "SELECT name FROM sqlite_master") == []
