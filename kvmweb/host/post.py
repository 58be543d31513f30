"""Messages from a host to the panel: sealed, and kept on disk when they matter and cannot go."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec
from celery import Celery
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from kvmweb.core.broker import CONTROL_QUEUE
from kvmweb.core.envelope import seal
from kvmweb.host.config import HostConfig
from kvmweb.host.files import Taken, locked, write_durably

log = logging.getLogger(__name__)

RECORD = "kvmweb.jobs.record"
HEARTBEAT = "kvmweb.hosts.heartbeat"
OBSERVED = "vms.observed"
USED = "networks.used"
LEASED = "networks.leased"
DRIFTED = "networks.drifted"
MENDED = "networks.mended"
MEASURED = "vms.measured"
PICTURED = "vms.pictured"


class BrokerAway(Exception):
    """The message was not sent; the broker cannot be reached."""


class Send(Protocol):
    """Sends one payload to the panel or raises `BrokerAway`."""

    def __call__(self, task: str, payload: Mapping[str, Any], /) -> None: ...


class Post:
    """Sends payloads in this host's name. Safe to use from several threads."""

    def __init__(self, app: Celery, config: HostConfig) -> None:
        self._app = app
        self._name = config.name
        self._key = config.key

    def __call__(self, task: str, payload: Mapping[str, Any], /) -> None:
        """Send once; raises `BrokerAway`, after the socket's time-out at the latest."""
        envelope = seal(self._name, self._key, payload)
        try:
            self._app.send_task(
                task, args=[envelope], queue=CONTROL_QUEUE, retry=False, argsrepr="(sealed)"
            )
        except (KombuError, RedisError, OSError) as error:
            raise BrokerAway(str(error)) from error


class Outbox:
    """Payloads that must arrive although the broker was away when they were due.

    A file per message, sent in the order of arrival. One that was sent and not yet removed when the
    process died is sent twice; the panel drops reports of jobs that have ended.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, task: str, payload: Mapping[str, Any]) -> None:
        """Keep a message until `drain` sends it."""
        content = msgspec.json.encode({"task": task, "payload": payload})
        write_durably(self._folder / f"{time.time_ns():020}.json", content)

    def drain(self, send: Send) -> int:
        """Send what is kept, stopping at the first failure; returns how many went out."""
        if not self._folder.is_dir():
            return 0
        try:
            with locked(self._folder / "lock", wait=False):
                return sum(1 for _ in self._sent(send))
        except (Taken, BrokerAway):
            return 0

    def _sent(self, send: Send) -> Iterator[None]:
        for path in sorted(self._folder.glob("*.json")):
            try:
                message = msgspec.json.decode(path.read_bytes())
                task, payload = message["task"], message["payload"]
            except (msgspec.DecodeError, KeyError, TypeError):
                path.rename(path.with_suffix(".broken"))
                log.error("outbox_set_aside file=%s", path)
                continue
            send(task, payload)
            path.unlink()
            yield
