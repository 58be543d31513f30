"""What the panel asks a host at once, and what the host answers: sealed both ways by its key.

A question is a list entry in Redis that the host's monitor takes, an answer one that the asking
process waits for; both lists end by themselves. Nothing is repeated: whoever asked and got no
answer in time says so. A question is answered once, and only while it is young; an answer names its
question, so none is taken for another's.
"""

from __future__ import annotations

from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import msgspec

from kvmweb.core.envelope import Envelope, Forged, open_, seal

YOUNG = 60.0
"""Seconds by which the clocks of panel and host may differ, a question's way included."""

KEPT = 60
LARGEST_ANSWER = 1 << 20


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="question"):
    """`asked` is when (seconds since the epoch), `patience` how many seconds somebody waits."""

    id: str
    asked: float
    patience: float
    what: str
    body: dict[str, Any]


class Trouble(msgspec.Struct, frozen=True):
    """Why a question could not be answered, as `kvmweb.core.errors` says it."""

    code: str
    message: str
    remedy: str = ""


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="answer"):
    """`body` is the answer unless there was `trouble`."""

    question: str
    body: Any = None
    trouble: Trouble | None = None


M = TypeVar("M", Question, Answer)


def queue_of(host: str) -> str:
    """The list that a host's monitor takes questions from."""
    return f"host.{host}.ask"


def answer_to(question: str) -> str:
    """The list that the answer to a question is put on."""
    return f"answer.{question}"


def sealed(host: str, key: str, message: Question | Answer) -> bytes:
    """A message as it travels."""
    return msgspec.json.encode(seal(host, key, message))


def opened(key: str, data: bytes, kind: type[M]) -> M:
    """A message of this kind that was sealed with `key`; raises `Forged` for anything else."""
    try:
        envelope: Envelope = msgspec.json.decode(data, type=Envelope)
        return msgspec.convert(open_(key, envelope), kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Forged("not a message of this kind") from error


def redis_url(broker: str) -> str:
    """A broker's URL as Celery writes it, in the words of redis-py."""
    parts = urlsplit(broker)
    if parts.scheme != "redis+socket":
        return broker
    number = parse_qs(parts.query).get("virtual_host", ["0"])[0]
    return f"unix://{parts.path}?db={number}"
