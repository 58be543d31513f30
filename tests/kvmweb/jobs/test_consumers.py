"""Sockets: who may listen, what is told, and that nothing is lost or told to the wrong one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client

from kvmweb.asgi import application
from kvmweb.host.progress import Outcome, Step
from kvmweb.jobs.models import Job
from kvmweb.jobs.notify import OPERATORS, job_group, project_group
from kvmweb.projects.actions import Actor, create_token
from kvmweb.projects.models import Membership, Project
from tests.cast import missing, report, start_job
from tests.sockets import Line
from vms.actions import set_power
from vms.models import Vm

pytestmark = [pytest.mark.db, pytest.mark.django_db(transaction=True), pytest.mark.asyncio]
ORIGIN = (b"origin", b"http://localhost")


def cookie_of(user: User) -> tuple[bytes, bytes]:
    client = Client()
    client.force_login(user)
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    return b"cookie", f"{settings.SESSION_COOKIE_NAME}={session}".encode()


def socket(path: str, *headers: tuple[bytes, bytes]) -> Line:
    return Line(application, path, [(b"host", b"localhost"), *headers])


async def browser(path: str, user: User) -> Line:
    return socket(path, ORIGIN, await sync_to_async(cookie_of)(user))


@pytest.fixture
def job(vm: Vm, alice: User) -> Job:
    """Runs, with two steps told."""
    stopping = start_job(set_power(Actor(alice), vm.uuid, Vm.Power.OFF).job)
    report(stopping, Step(key="ask", sentence="Asking the guest to stop", state="running"))
    stopping.refresh_from_db()
    return stopping


async def told(job: Job) -> None:
    """What `notify` does after a commit, in this test's own loop."""
    await get_channel_layer().group_send(job_group(job.uuid), {"type": "changed"})


async def test_a_job_is_told_from_its_first_step_to_its_end(job: Job, alice: User) -> None:
    line = await browser(f"/ws/jobs/{job.uuid}/", alice)
    assert (await line.connect())[0]
    first = await line.messages(4)
    assert [message["type"] for message in first] == ["step"] * 3 + ["job"]
    assert [message["seq"] for message in first[:3]] == [1, 2, 3]
    assert first[2]["sentence"] == "Asking the guest to stop"
    assert first[3]["status"] == "running"
    outcome = Outcome(ok=False, generation=0, code="hung", message="No answer.", remedy="Wait.")
    await sync_to_async(report)(
        job, Step(key="ask", sentence="Asked", state="failed"), outcome=outcome
    )
    await told(job)
    step, end = await line.messages(2)
    assert (step["seq"], step["state"]) == (4, "failed")
    assert end == {
        "type": "job",
        "status": "failed",
        "code": "hung",
        "message": "No answer.",
        "remedy": "Wait.",
    }
    await line.hang_up()


async def test_who_comes_back_gets_only_what_was_missed(job: Job, alice: User) -> None:
    line = await browser(f"/ws/jobs/{job.uuid}/?after=2", alice)
    await line.connect()
    step, state = await line.messages(2)
    assert (step["seq"], state["type"]) == (3, "job")
    await told(job)
    assert await line.is_quiet()
    await line.hang_up()


@pytest.mark.parametrize(
    ("who", "code"), [("alice", None), ("bob", None), ("olga", None), ("mallory", 4404)]
)
async def test_a_job_is_told_to_those_who_may_see_it(
    who: str, code: int | None, job: Job, request: pytest.FixtureRequest
) -> None:
    user = await sync_to_async(request.getfixturevalue)(who)
    line = await browser(f"/ws/jobs/{job.uuid}/", user)
    opened, told_code = await line.connect()
    assert (opened, None if opened else told_code) == (code is None, code)
    await line.hang_up()


async def test_a_job_that_is_not_there_looks_like_a_strangers(job: Job, alice: User) -> None:
    line = await browser(f"/ws/jobs/{missing()}/", alice)
    assert await line.connect() == (False, 4404)


@pytest.mark.parametrize("path", ["/ws/events/", f"/ws/jobs/{UUID(int=0)}/"])
async def test_nobody_listens_without_logging_in(path: str, db: None) -> None:
    assert await socket(path, ORIGIN).connect() == (False, 4401)


async def test_a_page_of_another_site_cannot_listen(alice: User) -> None:
    cookie = await sync_to_async(cookie_of)(alice)
    line = socket("/ws/events/", (b"origin", b"http://evil.example"), cookie)
    assert not (await line.connect())[0]


async def test_a_program_listens_with_its_token(job: Job, alice: User) -> None:
    _, secret = await sync_to_async(create_token)(Actor(alice), name="script")
    line = socket(f"/ws/jobs/{job.uuid}/", (b"authorization", f"Bearer {secret}".encode()))
    assert (await line.connect())[0]
    await line.hang_up()
    wrong = socket("/ws/events/", (b"authorization", b"Bearer kvmw_wrong"))
    assert await wrong.connect() == (False, 4401)


def news(job: Job) -> dict[str, Any]:
    return {
        "type": "changed",
        "kind": "vm",
        "subject": str(job.subject),
        "job": str(job.uuid),
        "status": "running",
        "seq": 3,
    }


@pytest.mark.parametrize("who", ["alice", "bob", "olga"])
async def test_news_reach_those_who_may_see_the_project(
    who: str, job: Job, project: Project, request: pytest.FixtureRequest
) -> None:
    user = await sync_to_async(request.getfixturevalue)(who)
    line = await browser("/ws/events/", user)
    assert (await line.connect())[0]
    group = OPERATORS if who == "olga" else project_group(project.pk)
    await get_channel_layer().group_send(group, news(job))
    assert await line.message() == news(job)
    await line.hang_up()


async def test_who_was_removed_from_the_project_hears_no_more(
    job: Job, bob: User, project: Project
) -> None:
    line = await browser("/ws/events/", bob)
    await line.connect()
    await Membership.objects.filter(user=bob, project=project).adelete()
    await get_channel_layer().group_send(project_group(project.pk), news(job))
    assert await line.is_quiet()
    await line.hang_up()


async def test_who_logged_out_is_cut_off(job: Job, alice: User, project: Project) -> None:
    line = await browser("/ws/events/", alice)
    await line.connect()
    await sync_to_async(_end_sessions)()
    await get_channel_layer().group_send(project_group(project.pk), news(job))
    assert await line.closed() == 4401


async def test_who_was_switched_off_is_cut_off(job: Job, alice: User) -> None:
    line = await browser(f"/ws/jobs/{job.uuid}/?after=9", alice)
    await line.connect()
    await line.message()
    await User.objects.filter(pk=alice.pk).aupdate(is_active=False)
    await told(job)
    assert await line.closed() == 4401


def _end_sessions() -> None:

    Session.objects.filter().delete()


@pytest.mark.parametrize(
    "origin", [b"http://localhost:20000", b"null", b"", b"localhost", b"http://[broken"]
)
async def test_a_page_on_another_port_opens_no_socket(job: Job, alice: User, origin: bytes) -> None:
    """A guest's page is on the same host by a forward, and gets the panel's cookie sent along."""
    cookie = await sync_to_async(cookie_of)(alice)
    line = socket(f"/ws/jobs/{job.uuid}/", (b"origin", origin), cookie)
    assert not (await line.connect())[0]


async def test_a_socket_at_no_address_is_refused(alice: User) -> None:
    line = await browser("/ws/nothing/", alice)
    assert not (await line.connect())[0]


async def test_words_from_the_other_end_change_nothing(job: Job, alice: User) -> None:
    line = await browser(f"/ws/jobs/{job.uuid}/?after={'9' * 5000}", alice)
    assert (await line.connect())[0]
    await line.messages(4)
    for text in ("garbage", "[]", "[" * 20_000):
        await line.say(text)
    assert await line.is_quiet()
    await line.hang_up()
