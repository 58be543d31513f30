"""What happens to our domains, as it happens.

libvirt's events come through the asyncio loop (libvirtaio), which must be registered before the
first connection is opened. A connection is lost silently unless it is kept alive; when it is lost,
or cannot be opened, it is tried again ever more slowly, and whoever follows is told to look at
everything anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import libvirt
import libvirtaio

from vms.host.drivers.domains import quiet, state_of
from vms.host.in_time import in_time
from vms.host.observe import Seen, has_our_metadata

log = logging.getLogger(__name__)

OnChange = Callable[[Seen], Awaitable[None]]
OnConnected = Callable[[], Awaitable[None]]

CLOSE_SECONDS = 5.0
_KEEPALIVE = (5, 3)
_PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


async def _nothing() -> None:
    pass


async def follow(uri: str, on_change: OnChange, *, on_connected: OnConnected = _nothing) -> None:
    """Call `on_change` for each change of a domain of ours, until cancelled.

    `on_connected` is called on each connection before its first change: what happened while there
    was none is to be had by listing.
    """
    quiet()
    libvirtaio.virEventRegisterAsyncIOImpl(asyncio.get_running_loop())
    failures = 0
    while True:
        try:
            await _follow_once(uri, on_change, on_connected)
            failures = 0
            await asyncio.sleep(_PAUSES[0])
        except (libvirt.libvirtError, TimeoutError) as error:
            log.warning("libvirt_events_lost uri=%s reason=%s", uri, error)
            await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
            failures += 1


async def _follow_once(uri: str, on_change: OnChange, on_connected: OnConnected) -> None:
    """Until the connection is lost."""
    loop = asyncio.get_running_loop()
    events: asyncio.Queue[Any] = asyncio.Queue()
    connection = await in_time(libvirt.open, uri)

    def on_event(_connection: Any, domain: Any, *_: Any) -> None:
        loop.call_soon_threadsafe(events.put_nowait, domain)

    def on_close(*_: Any) -> None:
        loop.call_soon_threadsafe(events.put_nowait, None)

    def subscribe() -> None:
        connection.setKeepAlive(*_KEEPALIVE)
        connection.registerCloseCallback(on_close, None)
        lifecycle = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
        connection.domainEventRegisterAny(None, lifecycle, on_event, None)

    try:
        await in_time(subscribe)
        await on_connected()
        while (domain := await events.get()) is not None:
            if (seen := await in_time(_seen, domain)) is not None:
                await on_change(seen)
    finally:
        await _drop(connection)


def _seen(domain: Any) -> Seen | None:
    """The state now, which may be newer than the event; None for a stranger or one just gone."""
    try:
        state, reason = state_of(domain)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise
    if not has_our_metadata(domain):
        return None
    return Seen(subject=domain.UUIDString(), state=state, reason=reason)


async def _drop(connection: Any) -> None:
    with suppress(libvirt.libvirtError, TimeoutError):
        await in_time(connection.close, seconds=CLOSE_SECONDS)
