"""The way from a host to the panel: the host dials, by a websocket, with proof of who it is.

Over the panel's own socket where both are one machine, else to the address that browsers use. The
number to dial is good once, for seconds, and only with the host's key.
"""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode

import msgspec
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import WebSocketException

from kvmweb.core.envelope import seal
from kvmweb.core.errors import HostError
from kvmweb.host.config import HostConfig
from vms.host.console.guest import CHUNK, Wanted

log = logging.getLogger(__name__)

SECONDS = 5.0
HEADER = "X-Kvmweb-Host"
_UNIX = "unix:"


class PanelNotReached(HostError):
    """No way led to the process that the browser is connected to."""

    code = "panel_not_reached"


async def dialled(config: HostConfig, wanted: Wanted) -> ClientConnection:
    """An open line to the panel. Raises PanelNotReached."""
    envelope = msgspec.json.encode(seal(config.name, config.key, {"dial": wanted.dial}))
    headers = {HEADER: b64encode(envelope).decode()}
    tried = []
    for address in wanted.addresses:
        try:
            return await _connect(address, f"/ws/dial/{wanted.dial}/", headers)
        except (OSError, WebSocketException, TimeoutError) as error:
            tried.append(f"{address}: {error or type(error).__name__}")
    log.warning("panel_not_reached %s", "; ".join(tried))
    raise PanelNotReached(
        "The host could not reach the panel.",
        remedy="Operators: KVMWEB_URL has to be an address that this host reaches.",
    )


async def _connect(address: str, path: str, headers: dict[str, str]) -> ClientConnection:
    async with asyncio.timeout(SECONDS):
        if address.startswith(_UNIX):
            return await unix_connect(
                address.removeprefix(_UNIX),
                f"ws://localhost{path}",
                additional_headers=headers,
                compression=None,
                max_size=16 * CHUNK,
                max_queue=4,
            )
        url = address.rstrip("/").replace("http", "ws", 1) + path
        return await connect(
            url,
            additional_headers=headers,
            compression=None,
            max_size=16 * CHUNK,
            max_queue=4,
            proxy=None,
        )
