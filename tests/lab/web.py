"""A web server of the internet that tells callers the address it sees them by, and remembers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from tests.netns import Namespace

Callers = dict[str, str]


class _Server(ThreadingHTTPServer):
    """`callers` maps each path asked for to the address that last asked."""

    def __init__(self, port: int) -> None:
        super().__init__(("", port), _Caller)
        self.callers: Callers = {}


class _Caller(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self.server.callers[self.path] = self.client_address[0]
        answer = f"{self.client_address[0]}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Silent."""


@contextmanager
def serve_callers(namespace: Namespace, port: int) -> Iterator[Callers]:
    """Serve in `namespace` while the context lasts."""
    with namespace.entered():
        server = _Server(port)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.callers
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
