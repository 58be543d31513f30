"""A websocket client that talks to the ASGI application directly, without a server."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from asgiref.testing import ApplicationCommunicator

TIMEOUT = 20.0


class Line:
    """One websocket. `connect` answers whether it was accepted, and the close code if not."""

    def __init__(self, application: Any, path: str, headers: list[tuple[bytes, bytes]]) -> None:
        parts = urlsplit(path)
        scope = {
            "type": "websocket",
            "path": parts.path,
            "query_string": parts.query.encode(),
            "headers": headers,
            "subprotocols": [],
        }
        self._wire: Any = ApplicationCommunicator(application, scope)  # type: ignore[no-untyped-call]

    async def connect(self) -> tuple[bool, int | None]:
        await self._wire.send_input({"type": "websocket.connect"})
        answer = await self._wire.receive_output(TIMEOUT)
        return answer["type"] == "websocket.accept", answer.get("code")

    async def say(self, text: str) -> None:
        """Send a text frame, as no page of ours does."""
        await self._wire.send_input({"type": "websocket.receive", "text": text})

    async def say_bytes(self, data: bytes) -> None:
        await self._wire.send_input({"type": "websocket.receive", "bytes": data})

    async def heard(self) -> bytes:
        """The bytes of the next frame that has any."""
        while True:
            answer = await self._wire.receive_output(TIMEOUT)
            assert answer["type"] == "websocket.send", answer
            if answer.get("bytes") is not None:
                return bytes(answer["bytes"])

    async def message(self) -> Any:
        """The next message's JSON."""
        answer = await self._wire.receive_output(TIMEOUT)
        assert answer["type"] == "websocket.send", answer
        return json.loads(answer["text"])

    async def messages(self, count: int) -> list[Any]:
        return [await self.message() for _ in range(count)]

    async def is_quiet(self) -> bool:
        """Whether nothing more is said."""
        return bool(await self._wire.receive_nothing(timeout=0.3))

    async def closed(self) -> int:
        """The code the socket is closed with."""
        answer = await self._wire.receive_output(TIMEOUT)
        assert answer["type"] == "websocket.close", answer
        return int(answer["code"])

    async def hang_up(self, code: int = 1000) -> None:
        await self._wire.send_input({"type": "websocket.disconnect", "code": code})
        await self._wire.wait(TIMEOUT)
