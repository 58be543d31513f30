"""What people ask of projects and tokens, and the audit trail that every action writes."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from kvmweb.core.access import get_for
from kvmweb.core.errors import Invalid, NotFound
from kvmweb.projects.models import (
    LONGEST_PROJECT_NAME,
    ApiToken,
    AuditEvent,
    Membership,
    Project,
    Role,
)

OWN_NAME = "kvmweb"
TOKEN_PREFIX = "kvmw_"  # noqa: S105  a marker that secret scanners can find, not a secret


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks, through which door: a user, the address they came from, and the token they used."""

    user: User
    source: str = ""
    token: str = ""


class Named(Protocol):
    """What an audit event can be about."""

    uuid: UUID


def audit(
    actor: Actor | None,
    action: str,
    subject: Named,
    *,
    project: Project | None,
    job: UUID | None = None,
    **data: Any,
) -> None:
    """Append one audit event; call it inside the transaction of the change it records. Without an
    actor it is the panel's own doing.
    """
    AuditEvent.objects.create(
        actor=actor.user if actor else None,
        actor_name=actor.user.get_username() if actor else OWN_NAME,
        source=actor.source if actor else "",
        token=actor.token if actor else "",
        project=project,
        action=action,
        object_kind=action.partition(".")[0],
        object_uuid=subject.uuid,
        object_name=str(subject)[:255],
        job_uuid=job,
        data=data,
    )


def personal_project(user: User) -> Project:
    """The project `user` got by default, made on first need; two at once end with the same one."""
    with transaction.atomic():
        project, made = Project.objects.get_or_create(
            personal_of=user, defaults={"name": user.get_username()[:63]}
        )
        if made:
            Membership.objects.create(project=project, user=user, role=Role.OWNER)
    return project


def project_for(actor: Actor, uuid: UUID | str | None) -> Project:
    """The project of this UUID that the actor may write to; without one, their own."""
    if uuid is None:
        return personal_project(actor.user)
    try:
        return get_for(actor.user, Project, uuid, write=True)
    except NotFound as error:
        raise Invalid(
            "There is no such project.", field="project", code="no_such_project"
        ) from error


def create_project(actor: Actor, *, name: str) -> Project:
    """A new project owned by the actor."""
    label = _parse_project_name(name)
    with transaction.atomic():
        project = Project.objects.create(name=label)
        Membership.objects.create(project=project, user=actor.user, role=Role.OWNER)
        audit(actor, "project.create", project, project=project, name=label)
    return project


def _parse_project_name(text: str) -> str:
    name = text.strip()
    if not 0 < len(name) <= LONGEST_PROJECT_NAME or not name.isprintable() or set("<>") & set(name):
        raise Invalid(
            f"A project's name has 1 to {LONGEST_PROJECT_NAME} characters, none of them < or >.",
            field="name",
            code="invalid_name",
        )
    return name


def create_token(
    actor: Actor, *, name: str, expires_at: datetime | None = None
) -> tuple[ApiToken, str]:
    """A new token for the actor and its secret, which is shown this once and never kept."""
    personal_project(actor.user)
    secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
    with transaction.atomic():
        token = ApiToken.objects.create(
            user=actor.user,
            name=name,
            prefix=secret[: len(TOKEN_PREFIX) + 6],
            digest=token_digest(secret),
            expires_at=expires_at,
        )
        audit(actor, "token.create", token, project=None, name=name)
    return token, secret


def revoke_token(actor: Actor, uuid: UUID | str) -> ApiToken:
    """End a token of the actor's own at once."""
    with transaction.atomic():
        token = get_for(actor.user, ApiToken, uuid, write=True, lock=True)
        audit(actor, "token.revoke", token, project=None, name=token.name)
        token.delete()
    return token


def token_digest(secret: str) -> str:
    """What is stored of a token.

    The secret has 256 random bits, so a plain SHA-256 cannot be reversed.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


def user_of_token(secret: str) -> tuple[User, ApiToken] | None:
    """Who holds this token, or None when it is unknown, expired, or its user is switched off."""
    now = timezone.now()
    token = (
        ApiToken.objects.select_related("user")
        .filter(digest=token_digest(secret), user__is_active=True)
        .first()
    )
    if token is None or (token.expires_at and token.expires_at <= now):
        return None
    if token.last_used_at is None or (now - token.last_used_at).total_seconds() > 60:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token.user, token
