"""The REST API of the running panel, as any program uses it."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_SECONDS = 10


class Refused(Exception):
    """The panel said no; the text is its sentence and its remedy."""


class Unreachable(Exception):
    """The panel did not answer."""


@dataclass(frozen=True, slots=True)
class Panel:
    """The panel at `address`:`port`, used with `token`."""

    address: str
    port: int
    token: str = ""

    def answers(self) -> bool:
        """Whether its pages are served: any answer but a server's failure will do."""
        try:
            status, _headers, _body = self._ask("GET", "/", None)
        except Unreachable:
            return False
        return status < http.client.INTERNAL_SERVER_ERROR

    def get(self, path: str) -> Any:
        """What is at `/api/v1/{path}`."""
        return self._api("GET", path, None)[1]

    def post(self, path: str, body: Mapping[str, Any]) -> tuple[str, Any]:
        """The id of the job that this request started, and the object it is about."""
        location, answer = self._api("POST", path, body)
        return location.rstrip("/").rpartition("/")[2], answer

    def every(self, path: str) -> Iterator[Any]:
        """The first 500 rows of a list."""
        yield from self.get(f"{path}{'&' if '?' in path else '?'}limit=500")["results"]

    def _api(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[str, Any]:
        status, location, raw = self._ask(method, f"/api/v1/{path}", body)
        try:
            answer = json.loads(raw)
        except ValueError:
            raise Refused(f"The panel answered {status} to {method} {path}.") from None
        if status >= http.client.BAD_REQUEST:
            raise Refused(f"{answer.get('message', '')} {answer.get('remedy', '')}".strip())
        return location, answer

    def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None
    ) -> tuple[int, str, bytes]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        connection = http.client.HTTPConnection(self.address, self.port, timeout=_SECONDS)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheader("Location", ""), answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(str(error)) from error
        finally:
            connection.close()


def wait_for(panel: Panel, *, seconds: float) -> bool:
    """Whether the panel answered within `seconds`."""
    limit = time.monotonic() + seconds
    while not panel.answers():
        if time.monotonic() > limit:
            return False
        time.sleep(0.05)
    return True
