"""A web server of the internet that tells callers the address it sees them by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from tests.netns import Namespace


class _Caller(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        answer = f"{self.client_address[0]}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Silent."""


@contextmanager
def serve_callers(namespace: Namespace, port: int) -> Iterator[None]:
    """Serve in `namespace` while the context lasts."""
    with namespace.entered():
        server = ThreadingHTTPServer(("", port), _Caller)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
