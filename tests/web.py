"""Small web servers inside namespaces, certificates made on the spot, and clients to ask them."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.netns import DEADLINE, Namespace

PROXY_V2 = b"\r\n\r\n\0\r\nQUIT\n"


class _Answer(BaseHTTPRequestHandler):
    """Says the server's label, then what it was asked with."""

    protocol_version = "HTTP/1.1"
    label = ""

    def do_GET(self) -> None:
        body = f"{self.label}\n{self.headers}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Quiet."""


class _Inside(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, listener: socket.socket, label: str) -> None:
        answer = type("Answer", (_Answer,), {"label": label})
        super().__init__(listener.getsockname(), answer, bind_and_activate=False)
        self.socket.close()
        self.socket = listener

    def handle_error(self, *_words: object) -> None:
        """Clients may go whenever they like."""


def serve_http(
    namespace: Namespace,
    label: str,
    port: int = 80,
    context: ssl.SSLContext | None = None,
    *,
    family: socket.AddressFamily = socket.AF_INET,
) -> Callable[[], None]:
    """An HTTP server inside that says `label`; the call that is returned ends it."""
    with namespace.entered():
        listener = socket.create_server(("", port), family=family)
    if context is not None:
        listener = context.wrap_socket(listener, server_side=True)
    server = _Inside(listener, label)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join(DEADLINE)

    return close


def make_certificate(folder: Path, *names: str, days: int = 30) -> Path:
    """A PEM file with a self-signed certificate for `names` and its key."""
    file = folder / f"{names[0].replace('*', 'any')}.pem"
    alternatives = ",".join(f"DNS:{name}" for name in names)
    made = subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", str(days), "-subj", f"/CN={names[0]}"),
            *("-addext", f"subjectAltName={alternatives}", "-keyout", "/dev/stdout"),
        ],
        capture_output=True,
        check=True,
    )
    file.write_bytes(made.stdout)
    return file


def server_context(file: Path) -> ssl.SSLContext:
    """TLS with the certificate of `make_certificate`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def client_context(file: Path) -> ssl.SSLContext:
    """A client that believes this one certificate."""
    context = ssl.create_default_context(cafile=str(file))
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def ask_http(
    namespace: Namespace, address: str, host: str, port: int = 80, **headers: str
) -> tuple[int, str]:
    """Status and body of one request with this Host header."""
    with namespace.connect(address, port) as connection:
        return ask_on(connection, host, **headers)


def ask_https(
    namespace: Namespace, address: str, name: str, context: ssl.SSLContext, host: str = ""
) -> tuple[int, str]:
    """The same over TLS, with `name` for server name."""
    with (
        namespace.connect(address, 443) as plain,
        context.wrap_socket(plain, server_hostname=name) as connection,
    ):
        return ask_on(connection, host or name)


def ask_on(connection: socket.socket, host: str, **headers: str) -> tuple[int, str]:
    """One request on an open connection, which stays open."""
    lines = [f"GET / HTTP/1.1\r\nHost: {host}\r\n"]
    lines += [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
    connection.sendall("".join([*lines, "\r\n"]).encode())
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer.status, answer.read().decode()
