"""Asking a host something that is needed now. See `kvmweb.core.question`.

Only for reading: what should be is never changed this way. Never call it in a transaction: a host
may take its time. Whoever waits no longer takes the question back, so no host works for nobody;
that needs no clock that both have.
"""

from __future__ import annotations

import logging
import time
from functools import cache
from typing import Any, cast
from uuid import uuid4

from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

from kvmweb.core.envelope import Forged
from kvmweb.core.errors import KvmwebError
from kvmweb.core.question import KEPT, Answer, Question, answer_to, opened, queue_of, sealed
from kvmweb.hosts.models import Host

log = logging.getLogger(__name__)

PATIENCE = 6.0


class HostSilent(KvmwebError):
    """Nobody answered in time."""

    code = "host_not_answering"
    status = 504


class HostCannotSay(KvmwebError):
    """The host answered that it cannot answer, and why."""

    code = "host_error"
    status = 502


def ask(host: Host, what: str, body: dict[str, Any], *, seconds: float = PATIENCE) -> Any:
    """The host's answer. Raises `HostSilent` after `seconds` and `HostCannotSay`."""
    if host.is_silent:
        raise _silent(host)
    question = Question(id=str(uuid4()), asked=time.time(), patience=seconds, what=what, body=body)
    return _body(host, _exchange(host, question), question)


def tell(host: Host, what: str, body: dict[str, Any]) -> None:
    """Have the host do something that nobody waits for; one that cannot be reached does not."""
    question = Question(id=str(uuid4()), asked=time.time(), patience=0, what=what, body=body)
    try:
        _put(_client(settings.REDIS_URL), host, sealed(host.name, host.key, question))
    except (RedisError, OSError) as error:
        log.warning("host %s cannot be told: %s", host, error)


def _put(client: Redis, host: Host, message: bytes) -> None:
    queue = queue_of(host.name)
    with client.pipeline(transaction=False) as pipe:
        pipe.rpush(queue, message)
        pipe.expire(queue, KEPT)
        pipe.execute()


def _exchange(host: Host, question: Question) -> bytes:
    queue, key = queue_of(host.name), answer_to(question.id)
    client, message = _client(settings.REDIS_URL), sealed(host.name, host.key, question)
    try:
        _put(client, host, message)
        taken = client.blpop([key], timeout=question.patience)
        if taken is None:
            client.lrem(queue, 1, message)  # type: ignore[arg-type]
    except (RedisError, OSError) as error:
        log.warning("host %s cannot be asked: %s", host, error)
        raise _silent(host) from error
    if taken is None:
        raise _silent(host)
    return cast("tuple[bytes, bytes]", taken)[1]


def _body(host: Host, data: bytes, question: Question) -> Any:
    try:
        answer = opened(host.key, data, Answer)
    except Forged as error:
        log.warning("answer in the name of host %s dropped: %s", host, error.message)
        raise _silent(host) from error
    if answer.question != question.id:
        log.warning("answer of host %s to another question dropped", host)
        raise _silent(host)
    if answer.trouble is not None:
        trouble = answer.trouble
        raise HostCannotSay(trouble.message, code=trouble.code, remedy=trouble.remedy)
    return answer.body


def _silent(host: Host) -> HostSilent:
    heard = host.monitor_seen_at
    since = f" (last heard {heard:%Y-%m-%d %H:%M} UTC)" if heard else ""
    return HostSilent(
        f"The host does not answer{since}.",
        remedy="What is set up there goes on working. Try again in a moment.",
    )


@cache
def _client(url: str) -> Redis:
    return Redis.from_url(url, socket_connect_timeout=2, socket_timeout=60)
