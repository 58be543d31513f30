"""What every page's frame shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from kvmweb.core.access import is_operator
from kvmweb.jobs.models import Job
from kvmweb.ui.requests import current_project, projects_of, user_of

THEMES = ("auto", "light", "dark")


@dataclass(frozen=True, slots=True)
class Place:
    """A place of the panel in the rail. `section` is the part of a URL name it stands for."""

    name: str
    label: str
    icon: str
    section: str
    first: bool = True


PLACES = (
    Place("overview", "Overview", "layout-dashboard", "overview"),
    Place("vms", "VMs", "server-2", "vm"),
    Place("networks", "Networks", "network", "network"),
    Place("forwards", "Forwards", "arrows-right-left", "forward"),
    Place("firewall", "Firewall", "shield-check", "firewall", first=False),
    Place("images", "Images", "photo", "image", first=False),
    Place("activity", "Activity", "activity", "activity", first=False),
)
_SECTIONS = {
    "job": "activity",
    "reservation": "network",
    "peering": "network",
    "panel": "host",
    "rule": "firewall",
    "address": "firewall",
}
OPERATORS_PLACES = (
    Place("hosts", "Hosts", "server", "host", first=False),
    Place("admin:index", "Admin", "shield", "admin", first=False),
)


def shell(request: HttpRequest) -> dict[str, Any]:
    theme = request.COOKIES.get("theme", "")
    context: dict[str, Any] = {"theme": theme if theme in THEMES else "auto", "themes": THEMES}
    user = getattr(request, "user", None)
    match = request.resolver_match
    if user is None or not user.is_authenticated or (match and match.app_name == "admin"):
        return context
    operator = is_operator(user)
    return context | {
        "places": PLACES + (OPERATORS_PLACES if operator else ()),
        "section": _section(match.url_name if match else ""),
        "is_operator": operator,
        "projects": projects_of(request),
        "project": current_project(request),
        "running_jobs": Job.objects.visible_to(user_of(request)).unfinished().count(),
    }


def _section(url_name: str | None) -> str:
    """`vm-new`, `vms` and `vm` all belong to the VMs."""
    if (url_name or "").startswith("host-name"):
        return "forward"
    word = (url_name or "").partition("-")[0]
    return _SECTIONS.get(word) or word.rstrip("s")
