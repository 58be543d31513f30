"""Pages of images."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from kvmweb.core.access import get_for, is_operator
from kvmweb.jobs.steps import fold
from kvmweb.projects.models import Project
from kvmweb.ui.answers import done, form_page
from kvmweb.ui.requests import (
    actor_of,
    current_project,
    may_write,
    user_of,
    writable_projects,
)
from vms import actions
from vms.catalogue import catalogue, listed
from vms.forms.images import (
    EVERYBODY,
    CatalogueForm,
    DeleteImageForm,
    FactsForm,
    ImportForm,
    UploadForm,
)
from vms.models import Image
from vms.spec_from_images import limits

SILENT = timedelta(minutes=1)
GET_OR_POST = require_http_methods(["GET", "POST"])


@require_safe
def images(request: HttpRequest) -> HttpResponse:
    rows = Image.objects.visible_to(user_of(request)).for_display()
    if project := current_project(request):
        rows = rows.filter(project=project) | rows.filter(project=None)
    found = list(rows)
    context = {
        "images": [image for image in found if not _is_old(image)],
        "old": [image for image in found if _is_old(image)],
        "free": actions.free_bytes(),
        **_worker(request),
        "used": sum(image.size_bytes for image in found),
    }
    return render(request, "vms/images.html", context)


def _worker(request: HttpRequest) -> dict[str, Any]:
    """For operators: when the library's worker was seen, and whether that is too long ago."""
    if not is_operator(user_of(request)):
        return {}
    seen = actions.library_seen_at()
    return {"worker_seen": seen, "worker_silent": seen is None or timezone.now() - seen > SILENT}


def _is_old(image: Image) -> bool:
    return image.deprecated_at is not None


@GET_OR_POST
def new(request: HttpRequest) -> HttpResponse:
    """Import by URL."""
    return _import(request, None)


@GET_OR_POST
def upload(request: HttpRequest) -> HttpResponse:
    """The page from which a script sends a file."""
    return _upload(request, None)


@GET_OR_POST
def replace(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """A new version of an image, by URL or by upload."""
    older = get_for(user_of(request), Image, uuid, write=True)
    uploads = request.GET.get("by") == "upload" or "upload_bytes" in request.POST
    return _upload(request, older) if uploads else _import(request, older)


def _import(request: HttpRequest, older: Image | None) -> HttpResponse:
    form = ImportForm(request.POST or None, **_options(request, older))
    if request.method == "POST":
        made = form.submit(
            lambda data: actions.import_image(
                actor_of(request), form.wanted(), url=data["url"], checksum_url=data["checksum_url"]
            )
        )
        if made is not None:
            return redirect("image", made.uuid)
    return form_page(request, "vms/image_new.html", form, **_about(older))


def _upload(request: HttpRequest, older: Image | None) -> HttpResponse:
    form = UploadForm(request.POST or None, **_options(request, older))
    if request.method == "POST":
        made = form.submit(
            lambda data: actions.upload_image(
                actor_of(request), form.wanted(), upload_bytes=data["upload_bytes"]
            )
        )
        if made is not None:
            return redirect("image", made.uuid)
    return form_page(request, "vms/image_upload.html", form, **_about(older))


def _options(request: HttpRequest, older: Image | None) -> dict[str, Any]:
    projects = writable_projects(request)
    initial = {fact: getattr(older, fact) for fact in actions.FACTS} if older else {}
    if older and older.origin == Image.Origin.URL:
        initial |= {"url": older.url, "checksum_url": older.checksum_url}
    return {
        "projects": projects,
        "public": is_operator(user_of(request)),
        "replaces": older,
        "initial": {"project": str(projects[0].uuid)} | initial,
    }


def _about(older: Image | None) -> dict[str, Any]:
    return {"replaces": older, "free": actions.free_bytes(), "largest": limits().file}


@GET_OR_POST
def catalogue_page(request: HttpRequest) -> HttpResponse:
    """Well-known images, each a click away."""
    form = CatalogueForm(request.POST or None)
    projects = writable_projects(request)
    if request.method == "POST":
        made = form.submit(lambda data: _imported(request, data))
        if made is not None:
            return redirect("image", made.uuid)
    context = {
        "catalogue": catalogue(),
        "projects": projects,
        "everybody": EVERYBODY if is_operator(user_of(request)) else "",
    }
    return form_page(request, "vms/image_catalogue.html", form, **context)


def _imported(request: HttpRequest, data: dict[str, Any]) -> Image:
    public = data["project"] == EVERYBODY
    owner = {"public": True} if public else {"project": data["project"]}
    return actions.import_listed(actor_of(request), listed(data["catalogue"]), **owner)


@require_safe
def image(request: HttpRequest, uuid: UUID) -> HttpResponse:
    context = _context(request, uuid)
    found: Image = context["image"]
    context["users"], context["others"] = actions.users_of(actor_of(request), found)
    context["steps"] = fold(found.job.events.order_by("seq")) if found.job else []
    versions = Image.objects.visible_to(user_of(request)).for_display()
    same = versions.filter(name=found.name, project=found.project).exclude(pk=found.pk)
    context["versions"] = list(same)
    return render(request, "vms/image.html", context)


@GET_OR_POST
def settings(request: HttpRequest, uuid: UUID) -> HttpResponse:
    get_for(user_of(request), Image, uuid, write=True)
    context = _context(request, uuid)
    found: Image = context["image"]
    form = FactsForm(
        request.POST or None, initial={fact: getattr(found, fact) for fact in actions.FACTS}
    )
    if request.method == "POST" and form.done(
        lambda _: actions.change_image(actor_of(request), uuid, **form.facts())
    ):
        return done(request, "What is said of this image was changed.", "image", uuid)
    return form_page(request, "vms/image_settings.html", form, **context)


@require_POST
def deprecate(request: HttpRequest, uuid: UUID) -> HttpResponse:
    deprecated = request.POST.get("deprecated") != "0"
    actions.deprecate_image(actor_of(request), uuid, deprecated=deprecated)
    words = "No new VMs are made of it." if deprecated else "It is offered again."
    return done(request, words, "image", uuid)


@GET_OR_POST
def delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    found = get_for(user_of(request), Image, uuid, write=True)
    form = DeleteImageForm(request.POST or None)
    if request.method == "POST" and form.done(
        lambda _: actions.delete_image(actor_of(request), uuid)
    ):
        return done(request, f"Image {found} is being deleted.", "images")
    users, others = actions.users_of(actor_of(request), found)
    return form_page(
        request, "vms/image_delete.html", form, image=found, users=users, others=others
    )


def _context(request: HttpRequest, uuid: UUID) -> dict[str, Any]:
    get_for(user_of(request), Image, uuid)
    found = Image.objects.visible_to(user_of(request)).for_display().get(uuid=uuid)
    return {"image": found, "job": found.job, "may_write": _may_write(request, found.project)}


def _may_write(request: HttpRequest, project: Project | None) -> bool:
    if project is None:
        return is_operator(user_of(request))
    return may_write(request, project.pk)
