"""The monitor's ear: takes the panel's questions off Redis, answers each once, and is never late.

Questions are answered in a few threads, so that neither the heartbeat nor each other waits for one;
none ever reaches a worker that applies specs. What was asked before this process began, or came
again, is dropped without a word: somebody else may have kept it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from kvmweb.core.envelope import Forged
from kvmweb.core.errors import KvmwebError
from kvmweb.core.question import (
    KEPT,
    LARGEST_ANSWER,
    YOUNG,
    Answer,
    Question,
    Trouble,
    answer_to,
    opened,
    queue_of,
    redis_url,
    sealed,
)
from kvmweb.host.config import HostConfig

log = logging.getLogger(__name__)

AT_ONCE = 4
_LISTEN = 5.0
_TRY_AGAIN = 1.0

Answers = Mapping[str, Callable[[dict[str, Any]], object]]


class Doorman:
    """Lets in what this host's key sealed, once, and nothing from before `since`."""

    def __init__(self, key: str, since: float) -> None:
        self._key = key
        self._since = since
        self._seen: dict[str, float] = {}

    def admit(self, data: bytes, now: float) -> Question:
        """The question in `data`; raises `Forged` for what must not be answered."""
        question = opened(self._key, data, Question)
        self._seen = {one: at for one, at in self._seen.items() if now - at <= 2 * YOUNG}
        if question.asked < self._since:
            raise Forged("it is older than this process")
        if abs(now - question.asked) > YOUNG:
            raise Forged(f"it is {now - question.asked:.0f} s old, or the clocks differ")
        if question.id in self._seen:
            raise Forged("it was asked before")
        self._seen[question.id] = question.asked
        return question


async def answer_questions(config: HostConfig, answers: Answers) -> None:
    """Listen for ever, also while the broker is away."""
    listening = _Listening(config, answers)
    while True:
        try:
            await listening.listen()
        except (RedisError, OSError) as error:
            log.warning("not_listening reason=%s", error)
            await asyncio.sleep(_TRY_AGAIN)


class _Listening:
    def __init__(self, config: HostConfig, answers: Answers) -> None:
        self._config = config
        self._answers = answers
        self._doorman = Doorman(config.key, since=time.time())
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="answer")
        self._free = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
        url, queue = redis_url(self._config.broker), queue_of(self._config.name)
        async with Redis.from_url(
            url, socket_timeout=2 * _LISTEN, socket_connect_timeout=_LISTEN
        ) as client:
            while True:
                async with self._free:  # takes no question that no thread is free for
                    pass
                taken = await client.blpop([queue], timeout=_LISTEN)
                if taken is not None:
                    await self._free.acquire()
                    task = asyncio.create_task(self._answer(client, _bytes(taken[1])))
                    self._tasks.add(task)
                    task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._free.release()

    async def _answer(self, client: Redis, data: bytes) -> None:
        try:
            question = self._doorman.admit(data, time.time())
        except Forged as error:
            log.warning("question_dropped reason=%s", error.message)
            return
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._threads, answered, self._answers, question)
        key, message = answer_to(question.id), _fitting(self._config, answer)
        try:
            await client.rpush(key, message)
            await client.expire(key, KEPT)
        except (RedisError, OSError) as error:
            log.warning("answer_not_sent question=%s reason=%s", question.what, error)


def answered(answers: Answers, question: Question) -> Answer:
    """The answer to a question, which may be that there is none."""
    if question.what not in answers:
        message = f"This host does not know what “{question.what}” asks."
        return _no(question, Trouble("unknown_question", message, "Update kvmweb on the host."))
    try:
        body = msgspec.to_builtins(answers[question.what](question.body))
    except KvmwebError as error:
        return _no(question, Trouble(error.code, error.message, error.remedy))
    except Exception as error:
        log.exception("question_failed question=%s", question.what)
        message = f"The host failed at this: {type(error).__name__}."
        return _no(question, Trouble("crashed", message, "The host's log says more."))
    return Answer(question.id, body)


def _bytes(data: bytes | str) -> bytes:
    return data if isinstance(data, bytes) else data.encode()


def _no(question: Question, trouble: Trouble) -> Answer:
    return Answer(question.id, trouble=trouble)


def _fitting(config: HostConfig, answer: Answer) -> bytes:
    message = sealed(config.name, config.key, answer)
    if len(message) <= LARGEST_ANSWER:
        return message
    trouble = Trouble("too_large", "The answer is too large to be sent.", "Ask for less.")
    return sealed(config.name, config.key, Answer(answer.question, trouble=trouble))
