"""The panel asks, a host answers: at once, once, and nobody else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.utils import timezone

from kvmweb.core.errors import HostBusy
from kvmweb.core.question import Answer, Question, answer_to, opened, queue_of, sealed
from kvmweb.hosts.ask import HostCannotSay, HostSilent, ask
from kvmweb.hosts.models import Host
from tests.asking import answering
from tests.lab.broker import Broker, wait_until

pytestmark = pytest.mark.db


@pytest.fixture
def broker(tmp_path: Path, settings: LazySettings) -> Iterator[Broker]:
    made = Broker(tmp_path)
    made.start()
    settings.REDIS_URL = f"unix://{made.socket}"
    yield made
    made.stop()


def busy(_body: dict[str, Any]) -> object:
    raise HostBusy("It is being worked on.", remedy="Try later.")


def test_a_host_answers_what_it_is_asked(host: Host, broker: Broker) -> None:
    with answering(host, broker, {"double": lambda body: {"is": body["of"] * 2}}):
        assert ask(host, "double", {"of": 21}) == {"is": 42}


def test_what_a_host_cannot_say_comes_with_its_reason(host: Host, broker: Broker) -> None:
    answers = {"busy": busy, "fails": lambda body: body["missing"], "huge": lambda _: "x" * 2**21}
    with answering(host, broker, answers):
        for what, code in {
            "busy": "host_busy",
            "fails": "crashed",
            "huge": "too_large",
            "unheard": "unknown_question",
        }.items():
            with pytest.raises(HostCannotSay) as caught:
                ask(host, what, {})
            assert (caught.value.code, caught.value.status) == (code, 502)
            assert caught.value.message


def test_nobody_waits_longer_than_they_said(host: Host, broker: Broker) -> None:
    began = time.monotonic()
    with pytest.raises(HostSilent) as caught:
        ask(host, "anything", {}, seconds=1)
    assert time.monotonic() - began < 10
    assert caught.value.status == 504


def test_what_nobody_waits_for_any_more_is_not_answered(host: Host, broker: Broker) -> None:
    with pytest.raises(HostSilent):
        ask(host, "slow", {}, seconds=1)
    with broker.client() as client:
        assert client.lrange(queue_of(host.name), 0, -1) == []


def test_a_question_does_not_stay_for_ever(host: Host, broker: Broker) -> None:
    def give_up() -> None:
        with suppress(HostSilent):
            ask(host, "anything", {})

    asking = threading.Thread(target=give_up)
    asking.start()
    with broker.client() as client:
        wait_until(lambda: client.ttl(queue_of(host.name)) > 0)
    asking.join()


def test_a_host_that_is_known_to_be_silent_is_not_asked(host: Host, broker: Broker) -> None:
    host.monitor_seen_at = timezone.now() - timedelta(hours=1)
    with pytest.raises(HostSilent, match=f"{host.monitor_seen_at:%H:%M}"):
        ask(host, "anything", {})
    with broker.client() as client:
        assert client.llen(queue_of(host.name)) == 0


def test_a_broker_that_is_away_is_told_as_silence(host: Host, broker: Broker) -> None:
    broker.stop()
    with pytest.raises(HostSilent):
        ask(host, "anything", {})


def test_forged_repeated_and_old_questions_are_dropped(host: Host, broker: Broker) -> None:
    heard: list[str] = []
    queue = queue_of(host.name)

    def note(body: dict[str, Any]) -> str:
        heard.append(body["word"])
        return "noted"

    def question(word: str, asked: float) -> bytes:
        asking = Question(str(uuid4()), asked, 5, "note", {"word": word})
        return sealed(host.name, host.key, asking)

    with answering(host, broker, {"note": note}), broker.client() as client:
        assert ask(host, "note", {"word": "first"}) == "noted"
        now = time.time()
        genuine = question("second", now)
        reflected = sealed(host.name, host.key, Answer("second"))
        forged = sealed(host.name, "another key", Question("f", now, 5, "note", {"word": "f"}))
        old, early = question("old", now - 3600), question("early", now + 3600)
        client.rpush(queue, genuine, genuine, forged, reflected, old, early, b"not JSON")
        assert ask(host, "note", {"word": "last"}) == "noted"
        wait_until(lambda: len(heard) >= 3, what="the answers")
    assert sorted(heard) == ["first", "last", "second"]


@pytest.mark.parametrize("fault", ["another key", "another question", "a question"])
def test_an_answer_that_is_not_genuine_is_dropped(host: Host, broker: Broker, fault: str) -> None:
    """Somebody who can write to Redis answers in the host's place."""

    def answer() -> None:
        with broker.client() as client:
            taken: Any = client.blpop([queue_of(host.name)], timeout=10)
            asked = opened(host.key, taken[1], Question)
            lie = {
                "another key": sealed(host.name, "another key", Answer(asked.id, "lie")),
                "another question": sealed(host.name, host.key, Answer("other", "lie")),
                "a question": taken[1],
            }[fault]
            client.rpush(answer_to(asked.id), lie)

    liar = threading.Thread(target=answer)
    liar.start()
    with pytest.raises(HostSilent):
        ask(host, "anything", {}, seconds=10)
    liar.join(10)
