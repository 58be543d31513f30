"""Figures come every two seconds to whoever may see them, and the host is asked only while
somebody looks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User

from kvmweb.hosts import watching
from kvmweb.hosts.models import Host
from kvmweb.metrics.series import FORWARD, NETWORK
from networks.carried import Told, rates
from networks.models import Forward, Network
from tests.asking import answering
from tests.kvmweb.jobs.test_consumers import browser
from tests.lab.broker import Broker
from vms.models import Vm

pytestmark = [pytest.mark.db, pytest.mark.django_db(transaction=True)]
GIB = 1 << 30


@pytest.fixture
def asked(
    host: Host,
    settings: Any,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[list[Any]]:
    """A host whose guest uses a processor and whose counters go on by a thousand a second. What it
    was asked; tests do not wait for two seconds."""
    monkeypatch.setattr(watching, "EVERY", 0.05)
    settings.KVMWEB_HOST_SILENCE = 3600
    broker = Broker(tmp_path_factory.mktemp("asked"))
    broker.start()
    settings.REDIS_URL = f"unix://{broker.socket}"
    questions: list[Any] = []
    seconds = itertools.count(1)

    def measure(body: dict[str, Any]) -> dict[str, Any]:
        questions.append(body)
        at = next(seconds)
        counted = [[7, 10 * at, 1000 * at], [7, 0, 0], [7, at, 0]]
        guest = {"run": 1, "at": at, "cpu": at * 10**9, "memory": GIB, "disks": {}, "nics": {}}
        told = {"at": at, "counted": counted}
        return {
            "vms": dict.fromkeys(body.get("vms", ()), guest),
            "networks": dict.fromkeys(body.get("networks", ()), told),
            "forwards": dict.fromkeys(body.get("forwards", ()), told),
        }

    with answering(host, broker, {"measure": measure}):
        yield questions
    broker.stop()


async def figures(line: Any) -> dict[str, float | None]:
    """The first that come."""
    while (message := await line.message())["values"] is None:
        pass
    found: dict[str, float | None] = message["values"]
    return found


@pytest.mark.asyncio
async def test_all_who_look_share_one_question_and_it_ends_with_the_last(
    asked: list[Any], vm: Vm, network: Network, forward: Forward, alice: User, bob: User
) -> None:
    lines = [
        await browser(f"/ws/metrics/vm/{vm.uuid}/", alice),
        await browser(f"/ws/metrics/vm/{vm.uuid}/", bob),
        await browser(f"/ws/metrics/network/{network.uuid}/", bob),
        await browser(f"/ws/metrics/forward/{forward.uuid}/", bob),
    ]
    for line in lines:
        assert (await line.connect())[0]
    first, second, third, fourth = [await figures(line) for line in lines]
    assert first["cpu"] == second["cpu"] == 1
    assert first["memory"] == GIB
    assert (third["bytes_in"], third["packets_in"]) == (1000, 10)
    assert fourth["connections"] == 1
    whole = {
        "vms": [str(vm.uuid)],
        "networks": [network.bridge],
        "forwards": [str(forward.number)],
    }
    assert whole in asked
    for line in lines:
        await line.hang_up()
    assert watching._watched == {}


@pytest.mark.asyncio
async def test_strangers_hear_nothing_and_who_loses_the_right_no_more(
    asked: list[Any], vm: Vm, alice: User, mallory: User
) -> None:
    for path in (f"/ws/metrics/vm/{vm.uuid}/", f"/ws/metrics/vm/{UUID(int=1)}/"):
        assert await (await browser(path, mallory)).connect() == (False, 4404)
    assert await (await browser(f"/ws/metrics/host/{vm.uuid}/", alice)).connect() == (False, 4404)
    line = await browser(f"/ws/metrics/vm/{vm.uuid}/", alice)
    await line.connect()
    await figures(line)
    await sync_to_async(User.objects.filter(pk=alice.pk).update)(is_active=False)
    while (answer := await line._wire.receive_output(20))["type"] == "websocket.send":
        pass
    assert answer == {"type": "websocket.close", "code": 4401} | {
        key: value for key, value in answer.items() if key == "reason"
    }
    await line.hang_up()
    assert watching._watched == {}


@pytest.mark.asyncio
async def test_a_host_that_tells_nothing_is_told_as_nothing(
    host: Host, vm: Vm, alice: User, settings: Any
) -> None:
    settings.KVMWEB_HOST_SILENCE = 0
    line = await browser(f"/ws/metrics/vm/{vm.uuid}/", alice)
    await line.connect()
    assert (await line.message())["values"] is None
    await line.hang_up()


@pytest.mark.pure
def test_rates_are_of_what_was_added_though_counting_began_anew() -> None:
    before = Told(at=10, counted=[(1, 100, 5000), (1, 50, 900), (1, 3, 0)])
    after = Told(at=12, counted=[(1, 104, 5200), (2, 10, 100), (1, 3, 0)])
    assert rates(FORWARD, before, after) == (100, 50, 2, 5, 0)
    assert rates(NETWORK, before, after) == (100, 50, 2, 5)
    assert rates(NETWORK, after, after) is None
