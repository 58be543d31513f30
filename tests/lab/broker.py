"""A redis-server of the test's own on a unix socket, and a plain reader of the control queue."""

from __future__ import annotations

import json
import subprocess
import time
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from kvmweb.core.envelope import open_

DEADLINE = 30.0


def wait_until(
    condition: Callable[[], object], *, seconds: float = DEADLINE, what: str = "the condition"
) -> Any:
    """The first truthy value of `condition`; raises TimeoutError after `seconds`."""
    limit = time.monotonic() + seconds
    while True:
        if value := condition():
            return value
        if time.monotonic() > limit:
            raise TimeoutError(f"{what} did not come true within {seconds:g} s")
        time.sleep(0.02)


class Broker:
    """redis-server without persistence: stopping it loses everything, as the worst of days does."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "redis.sock"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis+socket://{self.socket}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "redis-server does not run"
        return self._process.pid

    def start(self) -> None:
        """Start and wait until it answers."""
        command = ["redis-server", "--port", "0", "--unixsocket", str(self.socket)]
        command += ["--save", "", "--appendonly", "no", "--dir", str(self._folder)]
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._answers, what="redis-server")

    def stop(self) -> None:
        """Kill it; what it held is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self.socket.unlink(missing_ok=True)

    def client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.socket), socket_timeout=10)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.BusyLoadingError):
            return False


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the control queue, opened."""

    task: str
    payload: dict[str, Any]


class Control:
    """Plays the control worker: takes messages off the queue `control` and checks their seals."""

    def __init__(self, broker: Broker, keys: dict[str, str]) -> None:
        self._broker = broker
        self._keys = keys
        self.messages: list[Message] = []

    def read(self) -> list[Message]:
        """All messages so far, the new ones included; an absent broker has none."""
        try:
            with self._broker.client() as client:
                while (raw := client.lpop("control")) is not None:
                    self.messages.append(self._opened(raw))
        except redis.ConnectionError:
            pass
        return self.messages

    def of(self, task: str, **fields: object) -> list[dict[str, Any]]:
        """Payloads of `task` whose fields are as given."""
        return [
            message.payload
            for message in self.read()
            if message.task == task
            and all(message.payload.get(name) == value for name, value in fields.items())
        ]

    def outcome(self, job: str, *, seconds: float = 60.0) -> dict[str, Any]:
        """How a job ended, waiting for it."""

        def ended() -> dict[str, Any] | None:
            reports = self.of("kvmweb.jobs.record", job=job)
            return next((report["outcome"] for report in reports if report["outcome"]), None)

        found: dict[str, Any] = wait_until(ended, seconds=seconds, what=f"the end of job {job}")
        return found

    def steps(self, job: str) -> list[dict[str, Any]]:
        """The steps of a job so far, in the order of arrival."""
        return [
            step for report in self.of("kvmweb.jobs.record", job=job) for step in report["steps"]
        ]

    def _opened(self, raw: bytes) -> Message:
        message = json.loads(raw)
        args = json.loads(b64decode(message["body"]))[0]
        host = args[0]["host"]
        return Message(message["headers"]["task"], open_(self._keys[host], args[0]))
