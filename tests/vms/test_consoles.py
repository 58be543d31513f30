"""Consoles: one ticket opens one once, who may type, and what ends them.

The host is the real ear of a monitor on a real Redis; what it would splice is played by the test.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from kvmweb.asgi import application
from kvmweb.core.envelope import seal
from kvmweb.core.errors import KvmwebError
from kvmweb.hosts.models import Host
from kvmweb.projects.actions import Actor, create_token, revoke_token
from kvmweb.projects.models import ApiToken, AuditEvent, Membership, Project
from tests.asking import answering
from tests.kvmweb.jobs.test_consumers import ORIGIN, cookie_of
from tests.lab.broker import Broker
from tests.sockets import Line
from vms.actions import bin_vm, offer_console, session_holder, take_console
from vms.actions.consoles import MOST, open_console
from vms.consoles.switchboard import HEADER
from vms.models import Console, Vm

pytestmark = [pytest.mark.db, pytest.mark.django_db(transaction=True)]

HERE = session_holder("here")


def offered(user: User, vm: Vm, holder: str = HERE, kind: str = "serial") -> tuple[Console, str]:
    return offer_console(Actor(user), vm.uuid, kind=kind, holder=holder)


def refusal_of(user: User, ticket: str, holder: str = HERE) -> str:
    with pytest.raises(KvmwebError) as caught:
        open_console(user, ticket, holder=holder)
    return caught.value.code


def test_a_ticket_opens_once_and_for_its_own_session_and_user_alone(
    alice: User, olga: User, vm: Vm
) -> None:
    _, ticket = offered(alice, vm)
    assert refusal_of(alice, ticket, session_holder("elsewhere")) == "no_such_ticket"
    assert refusal_of(olga, ticket) == "no_such_ticket"
    assert refusal_of(alice, ticket + "x") == "no_such_ticket"
    opened = open_console(alice, ticket, holder=HERE)
    assert opened.has_control
    assert refusal_of(alice, ticket) == "no_such_ticket"
    event = AuditEvent.objects.get(action="vm.open_console")
    assert (event.actor, event.object_uuid) == (alice, vm.uuid)
    assert event.data == {"kind": "serial", "console": str(opened.uuid)}


def test_a_ticket_is_good_for_half_a_minute(alice: User, vm: Vm) -> None:
    console, ticket = offered(alice, vm)
    assert console.expires_at - console.created_at < timedelta(seconds=31)
    Console.objects.update(expires_at=timezone.now())
    assert refusal_of(alice, ticket) == "no_such_ticket"
    assert not AuditEvent.objects.filter(action="vm.open_console").exists()


@pytest.mark.parametrize(
    ("state", "code"), [("off", "vm_off"), ("saved", "vm_off"), ("crashed", "vm_off")]
)
def test_no_ticket_leads_to_what_does_not_run(alice: User, vm: Vm, state: str, code: str) -> None:
    Vm.objects.update(power_state=state)
    with pytest.raises(KvmwebError) as caught:
        offered(alice, vm)
    assert caught.value.code == code


def test_nobody_opens_consoles_without_end(alice: User, vm: Vm) -> None:
    for _ in range(MOST):
        open_console(alice, offered(alice, vm)[1], holder=HERE)
    with pytest.raises(KvmwebError) as caught:
        offered(alice, vm)
    assert caught.value.code == "too_many_consoles"


def test_of_all_who_look_one_types_and_others_may_take_over(
    alice: User, bob: User, olga: User, vm: Vm
) -> None:
    watching = open_console(bob, offered(bob, vm)[1], holder=HERE)
    first = open_console(alice, offered(alice, vm)[1], holder=HERE)
    second = open_console(olga, offered(olga, vm)[1], holder=HERE)
    screen = open_console(olga, offered(olga, vm, kind="graphical")[1], holder=HERE)
    assert [one.has_control for one in (watching, first, second, screen)] == [
        False,
        True,
        False,
        True,
    ]
    with pytest.raises(KvmwebError) as caught:
        take_console(Actor(bob), vm.uuid, console=watching.uuid)
    assert caught.value.code == "forbidden"
    with pytest.raises(KvmwebError) as caught:
        take_console(Actor(alice), vm.uuid, console=second.uuid)
    assert caught.value.code == "forbidden"
    take_console(Actor(olga), vm.uuid, console=second.uuid)
    typing = Console.objects.filter(has_control=True, kind="serial")
    assert [one.pk for one in typing] == [second.pk]
    assert AuditEvent.objects.filter(action="vm.take_console", actor=olga).count() == 1


def test_who_died_at_it_types_no_more(alice: User, olga: User, vm: Vm) -> None:
    open_console(alice, offered(alice, vm)[1], holder=HERE)
    Console.objects.update(seen_at=timezone.now() - timedelta(minutes=2))
    assert open_console(olga, offered(olga, vm)[1], holder=HERE).has_control


class Monitor:
    """The host's side: what the panel asked for, and the lines dialled for it."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.asked: list[dict[str, Any]] = []
        self.refusal: KvmwebError | None = None

    def answer(self, body: dict[str, Any]) -> dict[str, str]:
        if self.refusal is not None:
            raise self.refusal
        self.asked.append(body)
        return {}

    async def dial(self, key: str = "") -> tuple[Line, bool]:
        async with asyncio.timeout(20):
            while not self.asked:  # noqa: ASYNC110  it is asked in another thread
                await asyncio.sleep(0.02)
        number = self.asked[-1]["dial"]
        envelope = seal(self.host.name, key or self.host.key, {"dial": number})
        header = (HEADER, b64encode(json.dumps(envelope).encode()))
        line = Line(application, f"/ws/dial/{number}/", [(b"host", b"localhost"), header])
        accepted, _ = await line.connect()
        return line, accepted


@contextmanager
def _monitor(host: Host, folder: Path, settings: LazySettings) -> Iterator[Monitor]:
    broker = Broker(folder)
    broker.start()
    settings.REDIS_URL = f"unix://{broker.socket}"
    monitor = Monitor(host)
    with answering(host, broker, {"console": monitor.answer}):
        yield monitor
    broker.stop()


@pytest.fixture
def monitor(host: Host, tmp_path: Path, settings: LazySettings) -> Iterator[Monitor]:
    with _monitor(host, tmp_path, settings) as monitor:
        yield monitor


class Person:
    """A browser's socket at a console."""

    def __init__(self, line: Line) -> None:
        self.line = line

    async def people(self, *, types: bool) -> dict[str, Any]:
        """The next word of who is there in which this person types, or does not."""
        while True:
            words: dict[str, Any] = await self.line.message()
            if words["type"] == "people" and words["types"] is types:
                return words


async def person(user: User, vm: Vm, kind: str = "serial") -> Person:
    """Somebody with a session who has opened a console."""
    cookie = await sync_to_async(cookie_of)(user)
    key = cookie[1].decode().partition("=")[2]
    _, ticket = await sync_to_async(offered)(user, vm, session_holder(key), kind)
    line = Line(application, f"/ws/consoles/{ticket}/", [(b"host", b"localhost"), ORIGIN, cookie])
    assert await line.connect() == (True, None)
    return Person(line)


@pytest_asyncio.fixture
async def open_serial(monitor: Monitor, alice: User, vm: Vm) -> AsyncIterator[tuple[Person, Line]]:
    """Alice at the serial line of her VM, and what her host dialled for it."""
    alices = await person(alice, vm)
    await alices.people(types=True)
    line, accepted = await monitor.dial()
    assert accepted
    yield alices, line


@pytest.mark.asyncio
async def test_what_is_said_passes_both_ways_until_the_guest_ends(
    open_serial: tuple[Person, Line], monitor: Monitor, vm: Vm
) -> None:
    alices, line = open_serial
    assert monitor.asked[0]["vm"] == str(vm.uuid)
    await line.say_bytes(b"login: ")
    assert await alices.line.heard() == b"login: "
    await alices.line.say_bytes(b"root\r")
    assert await line.heard() == b"root\r"
    await line.hang_up(4410)
    assert (await alices.line.message())["why"] == "guest_ended"
    assert await alices.line.closed() == 4410
    assert await Console.objects.filter(ended_at=None).acount() == 0


@pytest.mark.asyncio
async def test_a_viewer_sees_all_and_what_they_type_goes_nowhere(
    open_serial: tuple[Person, Line], monitor: Monitor, bob: User, vm: Vm
) -> None:
    alices, _ = open_serial
    monitor.asked.clear()
    bobs = await person(bob, vm)
    there = await bobs.people(types=False)
    assert [(one["name"], one["types"]) for one in there["people"]] == [
        ("alice", True),
        ("bob", False),
    ]
    assert not there["may_take"]
    line, _ = await monitor.dial()
    await line.say_bytes(b"secret")
    assert await bobs.line.heard() == b"secret"
    await bobs.line.say_bytes(b"rm -rf /\r")
    assert await line.is_quiet()
    assert len((await alices.people(types=True))["people"]) == 2


@pytest.mark.asyncio
async def test_who_takes_over_types_at_once_and_the_other_no_more(
    open_serial: tuple[Person, Line], monitor: Monitor, olga: User, vm: Vm
) -> None:
    alices, alices_line = open_serial
    monitor.asked.clear()
    olgas = await person(olga, vm)
    console = (await olgas.people(types=False))["console"]
    line, _ = await monitor.dial()
    await sync_to_async(take_console)(Actor(olga), vm.uuid, console=console)
    await olgas.people(types=True)
    await alices.people(types=False)
    await olgas.line.say_bytes(b"x")
    assert await line.heard() == b"x"
    await alices.line.say_bytes(b"y")
    assert await alices_line.is_quiet()


def _sign_out() -> None:
    Session.objects.all().delete()


def _switch_off(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def _leave(user: User, project: Project) -> None:
    Membership.objects.filter(user=user, project=project).delete()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("what", "code"), [("session", 4401), ("user", 4401), ("right", 4404), ("vm", 4404)]
)
async def test_it_ends_with_what_it_stands_on(
    open_serial: tuple[Person, Line],
    alice: User,
    project: Project,
    vm: Vm,
    what: str,
    code: int,
) -> None:
    alices, line = open_serial
    if what == "session":
        await sync_to_async(_sign_out)()
    elif what == "user":
        await sync_to_async(_switch_off)(alice)
    elif what == "right":
        await sync_to_async(_leave)(alice, project)
    else:
        await sync_to_async(bin_vm)(Actor(alice), vm.uuid)
    while (await alices.line.message())["type"] != "ended":
        pass
    assert await alices.line.closed() == code
    assert await line.closed() == 1000


@pytest.mark.asyncio
async def test_who_leaves_frees_the_host_and_the_keys(
    open_serial: tuple[Person, Line], monitor: Monitor, olga: User, vm: Vm
) -> None:
    alices, line = open_serial
    await alices.line.hang_up()
    assert await line.closed() == 1000
    assert await Console.objects.filter(has_control=True).acount() == 0


@pytest.mark.asyncio
async def test_a_program_opens_one_with_its_token_until_that_is_revoked(
    monitor: Monitor, alice: User, vm: Vm
) -> None:
    token, secret = await sync_to_async(create_token)(Actor(alice), name="cli")
    headers = {"authorization": f"Bearer {secret}"}
    answer = await sync_to_async(Client().post)(
        f"/api/v1/vms/{vm.uuid}/consoles/",
        {"kind": "serial"},
        content_type="application/json",
        headers=headers,
    )
    assert answer.status_code == 201
    bearer = (b"authorization", headers["authorization"].encode())
    stranger = Line(
        application,
        answer.json()["socket"],
        [(b"host", b"localhost"), ORIGIN, await sync_to_async(cookie_of)(alice)],
    )
    assert await stranger.connect() == (False, 4404)
    line = Line(application, answer.json()["socket"], [(b"host", b"localhost"), bearer])
    assert await line.connect() == (True, None)
    await Person(line).people(types=True)
    hosts, _ = await monitor.dial()
    await line.say_bytes(b"hello")
    assert await hosts.heard() == b"hello"
    assert await ApiToken.objects.acount() == 1
    await sync_to_async(revoke_token)(Actor(alice), token.uuid)
    assert (await line.message())["why"] == "signed_out"
    assert await line.closed() == 4401


@pytest.mark.asyncio
async def test_a_line_is_only_taken_from_the_host_that_was_asked(
    monitor: Monitor, alice: User, vm: Vm
) -> None:
    alices = await person(alice, vm)
    await alices.people(types=True)
    assert not (await monitor.dial("another key"))[1]
    line, accepted = await monitor.dial()
    assert accepted
    assert not (await monitor.dial())[1], "it was taken"
    await alices.line.say_bytes(b"x")
    assert await line.heard() == b"x"


@pytest.mark.asyncio
async def test_what_the_host_refuses_is_said(monitor: Monitor, alice: User, vm: Vm) -> None:
    monitor.refusal = KvmwebError("No screen.", code="console_missing", remedy="Restart it.")
    alices = await person(alice, vm, "graphical")
    await alices.people(types=True)
    assert await alices.line.message() == {
        "type": "ended",
        "why": "console_missing",
        "message": "No screen.",
        "remedy": "Restart it.",
    }
    assert await alices.line.closed() == 4502


@pytest.mark.asyncio
async def test_a_silent_host_is_named(alice: User, vm: Vm, host: Host) -> None:
    await Host.objects.filter(pk=host.pk).aupdate(monitor_seen_at=None)
    alices = await person(alice, vm)
    await alices.people(types=True)
    assert (await alices.line.message())["why"] == "host_not_answering"
    assert await alices.line.closed() == 4502
