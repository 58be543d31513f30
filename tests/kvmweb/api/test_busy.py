"""A database that does not answer in time is told as such, with when to come back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from networks.models import Network
from tests.kvmweb.api.conftest import Program

pytestmark = [pytest.mark.db, pytest.mark.django_db(transaction=True)]


@contextmanager
def held() -> Iterator[None]:
    """Somebody else writes for longer than this connection waits."""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout=10")
    with closing(sqlite3.connect(connection.settings_dict["NAME"], uri=True)) as other:
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        yield
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout=20000")


def test_a_program_is_told_to_come_back(alices: Program, network: Network) -> None:
    with held():
        answer = alices.patch(f"networks/{network.uuid}/", {"name": "other"})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert answer.data["code"] == "busy"
    assert "locked" not in answer.content.decode()
    network.refresh_from_db()
    assert network.name != "other"


def test_a_page_says_so_without_asking_the_database_again(alice: User, network: Network) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(alice)
    address = f"/networks/{network.uuid}/settings/"
    wanted = {"name": "other", "mode": "nat", "egress": "allowed", "mtu": "1500"}
    with held():
        answer = client.post(address, wanted)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert "The panel is very busy" in answer.content.decode()
    assert "Nothing was changed" in answer.content.decode()


def test_a_page_in_place_says_so_in_a_note(alice: User, network: Network) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(alice)
    with held():
        answer = client.post(f"/networks/{network.uuid}/repair/", headers={"HX-Request": "true"})
    assert answer.status_code == 503
    assert answer.headers["HX-Retarget"] == "#toasts"
    assert "did not answer in time" in answer.content.decode()
