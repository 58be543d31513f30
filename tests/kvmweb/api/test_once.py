"""The same Idempotency-Key by the same user is one change and one answer."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from kvmweb.api.models import KeptAnswer
from kvmweb.api.once import HEADER
from kvmweb.api.urls import router
from kvmweb.hosts.models import PublicAddress
from kvmweb.projects.models import Project
from networks.models import Network
from tests.at_once import at_once
from tests.kvmweb.api.conftest import Program

pytestmark = [pytest.mark.db, pytest.mark.django_db]


def plain(data: Any) -> Any:
    return json.loads(json.dumps(data))


KEY = {HEADER: "8e03978e-40d5-43dd"}


def test_the_second_answer_is_the_first(alices: Program, public_address: PublicAddress) -> None:
    first = alices.post("networks/", {"name": "home"}, **KEY)
    Network.objects.update(name="renamed-since")
    second = alices.post("networks/", {"name": "home"}, **KEY)
    assert first.status_code == second.status_code == 202
    assert second.data == plain(first.data)
    assert second.headers["Location"] == first.headers["Location"]
    assert second.headers["Idempotent-Replay"] == "true"
    assert Network.objects.count() == 1


def test_another_request_with_the_key_is_refused(
    alices: Program, public_address: PublicAddress
) -> None:
    alices.post("networks/", {"name": "home"}, **KEY)
    for path, body in (("networks/", {"name": "other"}), ("projects/", {"name": "home"})):
        answer = alices.post(path, body, **KEY)
        assert (answer.status_code, answer.data["code"]) == (409, "idempotency_key_reused")
    assert Network.objects.count() == 1


def test_keys_of_others_are_others(
    alices: Program, mallory: User, public_address: PublicAddress
) -> None:
    alices.post("networks/", {"name": "home"}, **KEY)
    answer = Program(mallory).post("networks/", {"name": "home"}, **KEY)
    assert answer.status_code == 202
    assert Network.objects.count() == 2


def test_what_was_refused_is_not_kept(alices: Program, public_address: PublicAddress) -> None:
    assert alices.post("networks/", {"name": "Home"}, **KEY).status_code == 400
    assert not KeptAnswer.objects.exists()
    assert alices.post("networks/", {"name": "home"}, **KEY).status_code == 202


def test_a_key_is_forgotten_after_a_day(alices: Program, public_address: PublicAddress) -> None:
    alices.post("projects/", {"name": "Shop"}, **KEY)
    KeptAnswer.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert alices.post("projects/", {"name": "Shop"}, **KEY).status_code == 201
    assert Project.objects.filter(name="Shop").count() == 2
    assert KeptAnswer.objects.count() == 1


@pytest.mark.parametrize("key", ["", "x" * 201, "a\x07"])
def test_an_unfit_key_is_refused(alices: Program, key: str) -> None:
    answer = alices.post("projects/", {"name": "Shop"}, **{HEADER: key})
    assert (answer.status_code, answer.data["field"]) == (400, HEADER)


def test_every_post_honours_the_key() -> None:
    for pattern in router.urls:
        for method, name in pattern.callback.actions.items():  # type: ignore[union-attr]
            if method == "post":
                handler = getattr(pattern.callback.cls, name)  # type: ignore[union-attr]
                assert getattr(handler, "keeps_answers", False), f"{pattern} {name}"


@pytest.mark.django_db(transaction=True)
def test_doubles_at_the_same_moment_are_one(alice: User, public_address: PublicAddress) -> None:
    programs = [Program(alice) for _ in range(8)]
    answers = at_once(8, lambda number: programs[number].post("networks/", {"name": "a"}, **KEY))
    told = {(answer.status_code, answer.data["id"]) for answer in answers}  # type: ignore[union-attr]
    assert told == {(202, str(Network.objects.get().uuid))}
