"""Fetching over HTTP from public addresses alone.

A name is resolved once, every address it has is judged, and the connection goes to one of exactly
these: a name that answers otherwise the next moment (DNS rebinding) gains nothing. So it is with
every redirect. Proxies of the environment are not used: they would resolve for themselves.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

from vms.library.failures import BadImage, CannotFetch, Unreachable, too_large
from vms.library.reach import refusal
from vms.library.spec import Reach

MOST_REDIRECTS = 5
SILENCE_SECONDS = 30.0
_CHUNK = 1 << 20
# Slower than this for a minute is as good as silent.
_SLOWEST, _WINDOW = 64 * 1024, 60.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_PORTS = {"http": 80, "https": 443}
_LONGEST_TEXT = 4 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """The body of a file; `size` is what the server says it has, None when it does not say."""

    size: int | None
    response: http.client.HTTPResponse
    url: str

    def chunks(self, most: int) -> Iterator[bytes]:
        """All of it. Raises Unreachable when it breaks off, BadImage past `most` bytes."""
        if self.size is not None and self.size > most:
            raise too_large(most)
        done, since, window = 0, time.monotonic(), 0
        try:
            while chunk := self.response.read1(_CHUNK):
                done, window = done + len(chunk), window + len(chunk)
                if done > most:
                    raise too_large(most)
                yield chunk
                if (now := time.monotonic()) - since > _WINDOW:
                    if window < _SLOWEST:
                        raise _unreachable(self.url, "it sends next to nothing")
                    since, window = now, 0
        except (OSError, http.client.HTTPException) as error:
            raise _unreachable(self.url, error) from error
        if self.size is not None and done < self.size:
            raise _unreachable(self.url, f"it broke off after {done} of {self.size} bytes")


@contextmanager
def opened(url: str, reach: Reach) -> Iterator[Answer]:
    """The answer at `url`, redirects followed. Raises CannotFetch, Unreachable."""
    for _ in range(MOST_REDIRECTS + 1):
        parts = _checked(url)
        connection = _connected(parts, reach)
        try:
            response = _asked(connection, parts, url)
            if response.status not in _REDIRECTS:
                yield _good(response, url)
                return
            url = _redirected(url, response)
        finally:
            connection.close()
    raise CannotFetch(f"{url} redirects more than {MOST_REDIRECTS} times.")


def text_at(url: str, reach: Reach) -> str:
    """A short text, such as a list of checksums."""
    with opened(url, reach) as answer:
        try:
            return b"".join(answer.chunks(_LONGEST_TEXT)).decode(errors="replace")
        except BadImage as error:
            raise CannotFetch(f"{url} is no list of checksums: it is too long.") from error


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise CannotFetch(f"{url} is no URL: {error}.") from error
    if parts.scheme not in _PORTS or not parts.hostname or port == 0:
        raise CannotFetch(f"{url} does not begin with http:// or https:// and a name.")
    if parts.username is not None or parts.password is not None:
        raise CannotFetch("A URL with a user name or password is not fetched.")
    if not url.isascii() or any(letter <= " " for letter in url):
        raise CannotFetch(f"{url!r} has characters that a URL does not have.")
    return parts


def _connected(parts: SplitResult, reach: Reach) -> http.client.HTTPConnection:
    name = parts.hostname or ""
    port = parts.port or _PORTS[parts.scheme]
    reason: Exception | None = None
    for address in _addresses(name, port, reach):
        pinned = _Pinned(name, port, address, secure=parts.scheme == "https")
        try:
            pinned.connect()
        except OSError as error:
            reason = error
            continue
        return pinned
    raise _unreachable(parts.geturl(), reason or "it has no address")


def _addresses(name: str, port: int, reach: Reach) -> list[str]:
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _unreachable(name, f"the name is not known ({error})") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        if reason := refusal(address.partition("%")[0], reach, name=name):
            raise CannotFetch(
                f"This address may not be asked: {reason}",
                code="image_source_forbidden",
                remedy="Use a public address, or upload the image.",
            )
    return addresses


class _Pinned(http.client.HTTPConnection):
    """A connection to one address, which asks for `host` there."""

    def __init__(self, host: str, port: int, address: str, *, secure: bool) -> None:
        super().__init__(host, port, timeout=SILENCE_SECONDS)
        self._address = address
        self._secure = secure
        if secure:
            self.default_port = 443

    def connect(self) -> None:
        self.sock = socket.create_connection((self._address, self.port), timeout=self.timeout)
        if self._secure:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(self.sock, server_hostname=self.host)


def _asked(
    connection: http.client.HTTPConnection, parts: SplitResult, url: str
) -> http.client.HTTPResponse:
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(
            "GET", path, headers={"User-Agent": "kvmweb", "Accept-Encoding": "identity"}
        )
        return connection.getresponse()
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _unreachable(url, error) from error


def _good(response: http.client.HTTPResponse, url: str) -> Answer:
    if response.status in _PASSING:
        raise _unreachable(url, f"it answers {response.status} {response.reason}")
    if response.status != http.client.OK:
        raise CannotFetch(
            f"{url} answers {response.status} {response.reason}.", remedy="Correct the address."
        )
    return Answer(response.length, response, url)


def _redirected(url: str, response: http.client.HTTPResponse) -> str:
    target = urljoin(url, response.getheader("Location") or "")
    if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
        raise CannotFetch(f"{url} redirects from https to {target}, which anybody could forge.")
    return target


def _unreachable(url: str, reason: object) -> Unreachable:
    return Unreachable(
        f"{url} could not be fetched: {reason}.",
        remedy="Check the address and that the panel may reach it, then retry.",
    )
