"""The sizes that operators offer: everybody sees theirs, operators change them."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods, require_POST

from kvmweb.core.access import get_for, is_operator
from kvmweb.core.errors import NotFound
from kvmweb.projects.models import Project
from kvmweb.ui.answers import done, form_page
from kvmweb.ui.requests import actor_of, user_of
from vms import actions
from vms.forms import FlavourForm
from vms.models import Flavour


@require_http_methods(["GET", "POST"])
def flavours(request: HttpRequest) -> HttpResponse:
    form = FlavourForm(request.POST or None, projects=_projects(request))
    if request.method == "POST":
        _refuse_others(request)
        if form.done(lambda data: actions.create_flavour(actor_of(request), **data)):
            return done(request, "The flavour is offered.", "flavours")
    rows = Flavour.objects.visible_to(user_of(request)).for_display()
    return form_page(request, "flavours/flavours.html", form, flavours=rows)


@require_http_methods(["GET", "POST"])
def flavour(request: HttpRequest, uuid: UUID) -> HttpResponse:
    _refuse_others(request)
    found = get_for(user_of(request), Flavour, uuid)
    initial = {name: getattr(found, name) for name in ("name", "vcpus", "memory_mib", "disk_gib")}
    chosen = [str(each.uuid) for each in found.projects.all()]
    form = FlavourForm(
        request.POST or None, projects=_projects(request), initial={**initial, "projects": chosen}
    )
    if request.method == "POST" and form.done(
        lambda data: actions.change_flavour(actor_of(request), uuid, **data)
    ):
        return done(request, "The flavour was changed.", "flavours")
    return form_page(request, "flavours/flavour.html", form, flavour=found)


@require_POST
def delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    _refuse_others(request)
    gone = actions.delete_flavour(actor_of(request), uuid)
    return done(request, f"Flavour {gone} is no longer offered.", "flavours")


def _refuse_others(request: HttpRequest) -> None:
    if not is_operator(user_of(request)):
        raise NotFound("There is no such page.")


def _projects(request: HttpRequest) -> list[Project]:
    return list(Project.objects.visible_to(user_of(request)))
