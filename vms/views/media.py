"""What a VM starts from: its boot order, the ISO in its drive, a rescue system."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST, require_safe

from kvmweb.core.access import get_for
from kvmweb.ui.answers import done, form_page
from kvmweb.ui.forms import ActionForm
from kvmweb.ui.requests import actor_of, user_of
from vms import actions
from vms.forms.media import EndRescueForm, IsoForm, OrderForm, RescueForm
from vms.models import Image, Vm
from vms.views.vms import context_of


@require_safe
def media(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return _page(request, uuid, ActionForm())


@require_POST
def iso(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Another ISO, or with `eject` none."""
    actor = actor_of(request)
    get_for(user_of(request), Vm, uuid, write=True)
    if "eject" in request.POST:
        form: ActionForm = ActionForm(request.POST)
        asked = form.done(lambda _: actions.eject_iso(actor, uuid))
    else:
        form = IsoForm(request.POST, images=_isos(request))
        asked = form.done(lambda data: actions.insert_iso(actor, uuid, **data))
    if asked:
        return done(request, "The drive is being changed.", "vm-media", uuid)
    return _page(request, uuid, form)


@require_POST
def order(request: HttpRequest, uuid: UUID) -> HttpResponse:
    vm: Vm = context_of(request, uuid, "media")["vm"]
    form = OrderForm(request.POST, known=vm.bootable)
    if form.done(lambda _: actions.set_boot_order(actor_of(request), uuid, order=form.order())):
        words = "The boot order is being changed. It counts from its next start."
        return done(request, words, "vm-media", uuid)
    return _page(request, uuid, form)


@require_POST
def rescue(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Begin, or with `end` end."""
    actor = actor_of(request)
    get_for(user_of(request), Vm, uuid, write=True)
    if "end" in request.POST:
        form: ActionForm = EndRescueForm(request.POST)
        asked = form.done(lambda data: actions.end_rescue(actor, uuid, **data))
    else:
        form = RescueForm(request.POST, images=_images(request))
        asked = form.done(lambda data: actions.begin_rescue(actor, uuid, **data))
    if asked:
        return done(request, "The VM starts anew.", "vm", uuid)
    return _page(request, uuid, form)


def _page(request: HttpRequest, uuid: UUID, form: ActionForm) -> HttpResponse:
    context = context_of(request, uuid, "media")
    vm: Vm = context["vm"]
    isos, known = _isos(request), vm.bootable
    order = [known[name] for name in vm.boot_order if name in known]
    context |= {
        "order": order or [next(iter(known.values()))],
        "order_form": OrderForm(known=known, initial={"first": next(iter(vm.boot_order), "")}),
        "iso_form": IsoForm(images=isos) if isos else None,
        "rescue_form": RescueForm(images=_images(request)),
        "end_form": EndRescueForm(),
    }
    return form_page(request, "vms/media.html", form, **context)


def _isos(request: HttpRequest) -> list[Image]:
    return list(Image.objects.visible_to(user_of(request)).usable().isos())


def _images(request: HttpRequest) -> list[Image]:
    return list(Image.objects.visible_to(user_of(request)).usable())
