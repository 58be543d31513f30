"""Sockets: one job's steps, and word of everything that changes in a user's projects.

Sockets carry events out only. What they tell is read from rows, so a dropped one loses nothing: the
client comes back with the last number it saw. Rights are checked before a socket is accepted and
again with everything it delivers.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.contrib.auth.models import AnonymousUser, User

from kvmweb.core.access import get_for, is_operator, visible
from kvmweb.core.errors import NotFound
from kvmweb.jobs.models import Job
from kvmweb.jobs.notify import OPERATORS, job_group, project_group
from kvmweb.jobs.subjects import kind_named
from kvmweb.projects.models import Project

ANONYMOUS = 4401
STRANGER = 4404
LONGEST_SEQ = 10


class UserConsumer(AsyncJsonWebsocketConsumer):  # type: ignore[misc]  # Channels is untyped
    """A socket of a signed-in user that joins groups and is closed when the user may not look."""

    groups_joined: list[str]

    async def connect(self) -> None:
        self.groups_joined = []
        user = await self.current_user()
        if user is None:
            await self.close(code=ANONYMOUS)
            return
        try:
            groups = await self.groups_for(user)
        except NotFound:
            await self.close(code=STRANGER)
            return
        for group in groups:
            await self.channel_layer.group_add(group, self.channel_name)
            self.groups_joined.append(group)
        await self.accept()
        await self.begin()

    async def disconnect(self, code: int) -> None:  # noqa: ARG002  the signature is Channels'
        for group in self.groups_joined:
            await self.channel_layer.group_discard(group, self.channel_name)

    async def receive(self, text_data: Any = None, bytes_data: Any = None, **options: Any) -> None:
        """Nothing is asked over a socket, so nothing that comes is even read."""

    async def groups_for(self, user: User) -> list[str]:
        raise NotImplementedError

    async def begin(self) -> None:
        """What is sent as soon as the socket is open."""

    async def current_user(self) -> User | None:
        """The socket's user as they are now: not switched off, and still logged in."""
        user, session = self.scope.get("user"), self.scope.get("session")
        if user is None or isinstance(user, AnonymousUser):
            return None
        if "token" not in self.scope and not await database_sync_to_async(_is_logged_in)(session):
            return None
        found: User | None = await database_sync_to_async(_active)(user.pk)
        return found


def _active(pk: int) -> User | None:
    return User.objects.filter(pk=pk, is_active=True).first()


def _is_logged_in(session: Any) -> bool:
    return bool(session is not None and session.session_key and session.exists(session.session_key))


class JobConsumer(UserConsumer):
    """`/ws/jobs/<uuid>/?after=<seq>`: the steps after `seq`, each new one, and the end."""

    async def groups_for(self, user: User) -> list[str]:
        uuid = self.scope["url_route"]["kwargs"]["uuid"]
        await database_sync_to_async(get_for)(user, Job, uuid)
        after = parse_qs(self.scope["query_string"].decode()).get("after", ["0"])[0]
        self.seq = int(after) if after.isdecimal() and len(after) <= LONGEST_SEQ else 0
        self.status = ""
        return [job_group(uuid)]

    async def begin(self) -> None:
        await self.changed({})

    async def changed(self, _message: dict[str, Any]) -> None:
        """The job has news: send what is stored and not sent yet."""
        user = await self.current_user()
        if user is None:
            await self.close(code=ANONYMOUS)
            return
        try:
            messages = await database_sync_to_async(self._news)(user)
        except NotFound:
            await self.close(code=STRANGER)
            return
        for message in messages:
            await self.send_json(message)

    def _news(self, user: User) -> list[dict[str, Any]]:
        job = get_for(user, Job, self.scope["url_route"]["kwargs"]["uuid"])
        events = list(job.events.filter(seq__gt=self.seq).order_by("seq"))
        messages: list[dict[str, Any]] = [
            {
                "type": "step",
                "seq": event.seq,
                "key": event.key,
                "sentence": event.sentence,
                "state": event.state,
                "percent": event.percent,
                "at": event.at.isoformat(),
            }
            for event in events
        ]
        self.seq = events[-1].seq if events else self.seq
        if job.status != self.status:
            self.status = job.status
            messages.append(_end(job))
        return messages


def _end(job: Job) -> dict[str, Any]:
    return {
        "type": "job",
        "status": job.status,
        "code": job.code,
        "message": job.message,
        "remedy": job.remedy,
    }


class EventsConsumer(UserConsumer):
    """`/ws/events/`: what changed in the user's projects, for pages to read again."""

    async def groups_for(self, user: User) -> list[str]:
        groups: list[str] = await database_sync_to_async(_groups)(user)
        return groups

    async def changed(self, message: dict[str, Any]) -> None:
        user = await self.current_user()
        if user is None:
            await self.close(code=ANONYMOUS)
        elif await database_sync_to_async(_may_hear)(user, message):
            await self.send_json(message)


def _groups(user: User) -> list[str]:
    if is_operator(user):
        return [OPERATORS]
    projects = Project.objects.visible_to(user).values_list("pk", flat=True)
    return [project_group(pk) for pk in projects]


def _may_hear(user: User, message: dict[str, Any]) -> bool:
    """Whether the user may see what this is about; a job outlives what it deleted."""
    if "job" in message:
        return Job.objects.visible_to(user).filter(uuid=message["job"]).exists()
    rows = visible(user, kind_named(message["kind"]).model)
    return rows.filter(uuid=message["subject"]).exists()
