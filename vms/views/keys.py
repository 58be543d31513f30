"""The SSH keys of one's own account."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods, require_POST

from kvmweb.ui.answers import done, form_page
from kvmweb.ui.requests import actor_of, user_of
from vms.actions import add_key, remove_key
from vms.forms import KeyForm
from vms.models import SshKey


@require_http_methods(["GET", "POST"])
def keys(request: HttpRequest) -> HttpResponse:
    form = KeyForm(request.POST or None)
    if request.method == "POST" and form.done(lambda data: add_key(actor_of(request), **data)):
        return done(request, "The key is kept, and offered for each new VM.", "ssh-keys")
    rows = SshKey.objects.visible_to(user_of(request))
    return form_page(request, "keys/keys.html", form, keys=rows)


@require_POST
def remove(request: HttpRequest, uuid: UUID) -> HttpResponse:
    key = remove_key(actor_of(request), uuid)
    return done(request, f"Key “{key.name}” is no longer offered.", "ssh-keys")
