"""The page of a VM's consoles. It opens sockets; who may is decided with each ticket."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from kvmweb.core.errors import Conflict, KvmwebError
from kvmweb.ui.asking import asks_host
from kvmweb.ui.requests import actor_of
from vms import actions
from vms.api.consoles import socket_of
from vms.models import Console
from vms.views.vms import context_of


def console(request: HttpRequest, uuid: UUID) -> HttpResponse:
    context = context_of(request, uuid, "console")
    wanted = request.GET.get("kind", "")
    kinds = Console.Kind
    context["kind"] = wanted if wanted in kinds.values else kinds.GRAPHICAL.value
    context["kinds"] = kinds.choices
    context["layouts"] = LAYOUTS
    return render(request, "vms/console.html", context)


LAYOUTS = [("us", "English (US)"), ("gb", "English (UK)"), ("de", "German"), ("fr", "French")]


@require_POST
@asks_host
def ticket(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """For the page's script: where it opens the console, or why there is none now."""
    try:
        _, secret = actions.offer_console(
            actor_of(request),
            uuid,
            kind=request.POST.get("kind", ""),
            holder=actions.session_holder(request.session.session_key or ""),
        )
    except Conflict as error:
        return _refused(error, status=200)
    except KvmwebError as error:
        return _refused(error, status=error.status)
    return JsonResponse({"socket": socket_of(secret)})


@require_POST
def take(request: HttpRequest, uuid: UUID) -> HttpResponse:
    try:
        actions.take_console(actor_of(request), uuid, console=request.POST.get("console", ""))
    except KvmwebError as error:
        return _refused(error, status=error.status)
    return HttpResponse(status=204)


def _refused(error: KvmwebError, *, status: int) -> JsonResponse:
    words = {"code": error.code, "message": error.message, "remedy": error.remedy}
    return JsonResponse(words, status=status)
