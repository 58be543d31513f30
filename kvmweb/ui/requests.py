"""Who is asking, and in which project they are looking."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.contrib.auth.models import User
from django.http import HttpRequest

from kvmweb.projects.actions import Actor, personal_project
from kvmweb.projects.models import Project

PROJECT_KEY = "project"


def user_of(request: HttpRequest) -> User:
    """The signed-in user; pages are behind the login, so there is one."""
    return cast("User", request.user)


def actor_of(request: HttpRequest) -> Actor:
    return Actor(user_of(request), source=request.META.get("REMOTE_ADDR", ""))


def projects_of(request: HttpRequest) -> list[Project]:
    """The projects this user may look into, read once per request."""
    known: list[Project] | None = getattr(request, "_projects", None)
    if known is None:
        known = list(Project.objects.visible_to(user_of(request)))
        request._projects = known  # type: ignore[attr-defined]  # noqa: SLF001
    return known


def current_project(request: HttpRequest) -> Project | None:
    """The project chosen in the switcher; None means all of them."""
    chosen = request.session.get(PROJECT_KEY)
    return next((p for p in projects_of(request) if str(p.uuid) == chosen), None)


def choose_project(request: HttpRequest, wanted: str) -> None:
    """Look into this project from now on, or into all when it is none of the user's."""
    known = {str(project.uuid) for project in projects_of(request)}
    request.session[PROJECT_KEY] = wanted if wanted in known else ""


def writable_projects(request: HttpRequest) -> list[Project]:
    """Where this user may make things, the likeliest first."""
    user = user_of(request)
    own = personal_project(user)
    chosen = current_project(request)
    rows = {project.pk: project for project in Project.objects.writable_by(user)}
    first = [project for project in (chosen, own) if project and project.pk in rows]
    return list(dict.fromkeys([*first, *rows.values()]))


def writable_ids(request: HttpRequest) -> set[int]:
    """Numbers of the projects whose things this user may change."""
    return set(Project.objects.writable_by(user_of(request)).values_list("pk", flat=True))


def may_write(request: HttpRequest, project_id: int) -> bool:
    """Whether this user may change things of a project they see."""
    return Project.objects.writable_by(user_of(request)).filter(pk=project_id).exists()


def parse_uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text or "")
    except ValueError:
        return None
