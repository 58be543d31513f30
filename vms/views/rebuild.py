"""Rebuilding a VM from an image, and cloning it."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from kvmweb.core.access import get_for
from kvmweb.ui.answers import done, form_page
from kvmweb.ui.requests import actor_of, user_of
from vms import actions
from vms.forms import CloneForm, RebuildForm
from vms.models import Image, Vm

GET_OR_POST = require_http_methods(["GET", "POST"])


@GET_OR_POST
def rebuild(request: HttpRequest, uuid: UUID) -> HttpResponse:
    found = get_for(user_of(request), Vm, uuid, write=True)
    images = Image.objects.visible_to(user_of(request)).usable().disks().select_related("project")
    form = RebuildForm(
        request.POST or None,
        expected=found.name,
        images=list(images),
        initial={"image": str(found.image.uuid)},
    )

    def ask(data: dict[str, str]) -> Vm:
        # What was typed is checked by the form, and not asked for when it is only previewed.
        return actions.rebuild_vm(actor_of(request), uuid, image=data["image"], name=found.name)

    if request.method == "POST" and form.done(ask):
        return done(request, "The VM is being rebuilt.", "vm", uuid)
    disks = list(found.disks.all())
    return form_page(request, "vms/rebuild.html", form, vm=found, disks=disks)


@GET_OR_POST
def clone(request: HttpRequest, uuid: UUID) -> HttpResponse:
    found = get_for(user_of(request), Vm, uuid, write=True)
    form = CloneForm(request.POST or None, initial={"name": f"{found.name[:60]}-2", "start": True})
    if request.method == "POST" and (
        made := form.submit(lambda data: actions.clone_vm(actor_of(request), uuid, **data))
    ):
        return redirect("vm", made.uuid)
    return form_page(request, "vms/clone.html", form, vm=found, is_off=found.power_state == "off")
