"""Questions to a process of this host that is already running, over a unix socket of root's.

The network worker alone holds the firewall, so a command asks it instead of doing the same beside
it. One line of text asks (a name, and perhaps what it is about), one JSON text answers, then the
connection ends.
"""

from __future__ import annotations

import logging
import socket
import socketserver
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Self

import msgspec

log = logging.getLogger(__name__)

_LONGEST_QUESTION = 4096


class Answering:
    """Answers named questions in threads of its own while the context lasts."""

    def __init__(self, path: Path, answers: Mapping[str, Callable[..., object]]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._path = path
        self._server = _Server(str(path), _handler(answers))
        path.chmod(0o600)

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, name="answering", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._path.unlink(missing_ok=True)


def ask(path: Path, question: str, *, seconds: float = 600) -> Any:
    """The answer of whoever listens at `path`; None when nobody does.

    Raises OSError when it does not answer in time and RuntimeError when it could not.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        connection.settimeout(seconds)
        connection.sendall(question.encode())
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as stream:
            reply = msgspec.json.decode(stream.read())
    if "error" in reply:
        raise RuntimeError(reply["error"])
    return reply["answer"]


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def _handler(
    answers: Mapping[str, Callable[..., object]],
) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            question = self.rfile.read(_LONGEST_QUESTION).decode(errors="replace")
            self.wfile.write(msgspec.json.encode(_reply(answers, question)))

    return Handler


def _reply(answers: Mapping[str, Callable[..., object]], question: str) -> dict[str, object]:
    name, space, argument = question.partition(" ")
    if name not in answers:
        return {"error": f"unknown question {name!r}"}
    try:
        return {"answer": answers[name](argument) if space else answers[name]()}
    except Exception as error:
        log.exception("question_failed question=%s", question)
        return {"error": f"{type(error).__name__}: {error}"}
