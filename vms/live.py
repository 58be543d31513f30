"""`/ws/metrics/<kind>/<uuid>/`: the figures of a VM, network or forward every two seconds, while
its page is looked at."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.db.models import Model
from django.urls import path

from kvmweb.core.access import get_for
from kvmweb.core.errors import NotFound
from kvmweb.hosts.watching import Wish, watching
from kvmweb.jobs.consumers import ANONYMOUS, STRANGER, UserConsumer
from kvmweb.metrics.series import FORWARD, NETWORK, VM, Series, Values
from networks.carried import Told, rates
from networks.models import Forward, Network
from vms.host.measure import Reading, sample
from vms.models import Vm

_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Kind:
    """How something is looked at: what is asked about it, and what two answers say."""

    series: Series
    model: type[Model]
    wish: Callable[[Any], Wish]
    host: Callable[[Any], int]
    told: type[Any]
    between: Callable[[Any, Any], Values | None]


KINDS = {
    "vm": Kind(VM, Vm, lambda vm: ("vms", str(vm.uuid)), lambda vm: vm.host_id, Reading, sample),
    "network": Kind(
        NETWORK,
        Network,
        lambda network: ("networks", network.bridge),
        lambda network: network.host_id,
        Told,
        lambda before, after: rates(NETWORK, before, after),
    ),
    "forward": Kind(
        FORWARD,
        Forward,
        lambda forward: ("forwards", str(forward.number)),
        lambda forward: forward.network.host_id,
        Told,
        lambda before, after: rates(FORWARD, before, after),
    ),
}


class LiveMetrics(UserConsumer):
    """Whoever looks has to be allowed to, with every figure anew."""

    _task: asyncio.Task[None] | None = None

    async def groups_for(self, user: User) -> list[str]:
        kind = KINDS.get(self.scope["url_route"]["kwargs"]["kind"])
        if kind is None:
            raise NotFound("There is nothing at this address.")
        self.kind = kind
        self.wish, self.host = await database_sync_to_async(self._found)(user)
        return []

    async def begin(self) -> None:
        self._task = asyncio.create_task(self._follow())

    async def disconnect(self, code: int) -> None:
        if self._task is not None:
            self._task.cancel()
        await super().disconnect(code)

    def _found(self, user: User) -> tuple[Wish, int]:
        found = get_for(user, self.kind.model, self.scope["url_route"]["kwargs"]["uuid"])
        return self.kind.wish(found), self.kind.host(found)

    async def _follow(self) -> None:
        before = None
        async with watching(self.host, self.wish) as answers:
            while True:
                now = self._said(await answers.get())
                if not await self._may_look():
                    return
                values = self.kind.between(before, now) if before and now else None
                await self.send_json({"at": round(time.time(), 1), "values": self._named(values)})
                before = now

    def _said(self, answer: Mapping[str, Any] | None) -> Any:
        """What a host said of it; a host of another version, or a broken one, said nothing."""
        what, which = self.wish
        with suppress(msgspec.ValidationError, LookupError, TypeError):
            return msgspec.convert((answer or {})[what][which], self.kind.told)
        return None

    def _named(self, values: Values | None) -> dict[str, float | None] | None:
        if values is None:
            return None
        pairs = zip(self.kind.series.names, values, strict=True)
        return {name: None if one is None else round(one, _DIGITS) for name, one in pairs}

    async def _may_look(self) -> bool:
        user = await self.current_user()
        if user is None:
            await self.close(code=ANONYMOUS)
            return False
        try:
            await database_sync_to_async(self._found)(user)
        except NotFound:
            await self.close(code=STRANGER)
            return False
        return True


routes = [path("ws/metrics/<str:kind>/<uuid:uuid>/", LiveMetrics.as_asgi())]
