"""Small traffic programs in namespaces: what they send, what arrives, what it costs.

The source is `traffic.c` beside this file; it is built when it changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.netns import Namespace

_SOURCE = Path(__file__).with_suffix(".c")
_BUILT = Path(__file__).parents[1] / ".cache/traffic"
_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Run:
    """What a sender did: packets, connections or bytes; seconds by the clock and of its own."""

    count: int
    wall: float
    cpu: float

    @property
    def rate(self) -> float:
        """How many a second."""
        return self.count / self.wall

    @property
    def cost(self) -> float:
        """Microseconds of the processor for each."""
        return self.cpu / self.count * 1e6


@cache
def program() -> str:
    """The built program."""
    digest = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:16]
    built = _BUILT / digest
    if not built.exists():
        _BUILT.mkdir(parents=True, exist_ok=True)
        partial = _BUILT / f"{digest}.{os.getpid()}"
        subprocess.run(["gcc", "-O2", "-Wall", "-o", partial, _SOURCE], check=True)
        partial.replace(built)
    return str(built)


def send_udp(source: Namespace, address: str, port: int, count: int, rate: int = 0) -> Run:
    """Send packets of 18 bytes; `rate` a second, or as many as can be."""
    return _sender(source, "sent", "udp", address, str(port), str(count), str(rate))


def connect(source: Namespace, address: str, first: int, count: int, seconds: float) -> Run:
    """Connect to random ports of `first` … `first + count - 1` and reset each connection."""
    words = ("connect", address, str(first), str(count), str(seconds))
    return _sender(source, "connections", *words)


def stream(source: Namespace, address: str, port: int, seconds: float) -> Run:
    """Send as much as one TCP connection takes."""
    return _sender(source, "bytes", "stream", address, str(port), str(seconds))


class Sender:
    """Sends UDP packets until it is told to end."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def end(self) -> int:
        """End it, and say how many packets were sent."""
        said, _ = self._process.communicate(timeout=_SECONDS)
        return int(json.loads(said)["sent"])


def sending_udp(source: Namespace, address: str, port: int, rate: int) -> Sender:
    """A sender of `rate` packets a second."""
    return Sender(_started(source, "udp", address, str(port), "0", str(rate)))


class Counter:
    """Counts what arrives on a UDP port."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def received(self) -> int:
        """End it, and say how many packets arrived."""
        said, _ = self._process.communicate(timeout=_SECONDS)
        return int(json.loads(said)["received"])


def count_udp(at: Namespace, port: int) -> Counter:
    """A counter that is ready."""
    return Counter(_server(at, "count", str(port)))


@contextmanager
def accepting(at: Namespace, port: int) -> Iterator[None]:
    """Take and drop TCP connections meanwhile."""
    with _serving(at, "accept", port):
        yield


@contextmanager
def swallowing(at: Namespace, port: int) -> Iterator[None]:
    """Read and throw away what one TCP connection after the other sends meanwhile."""
    with _serving(at, "sink", port):
        yield


@contextmanager
def _serving(at: Namespace, what: str, port: int) -> Iterator[None]:
    process = _server(at, what, str(port))
    try:
        yield
    finally:
        process.kill()
        process.communicate()


def _server(at: Namespace, *words: str) -> subprocess.Popen[str]:
    process = _started(at, *words)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", "the traffic program did not start"
    return process


def _started(at: Namespace, *words: str) -> subprocess.Popen[str]:
    with at.entered():
        return subprocess.Popen(
            [program(), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )


def _sender(source: Namespace, counted: str, *words: str) -> Run:
    said = json.loads(source.run(program(), *words))
    return Run(said[counted], said["wall"], said["cpu"])
