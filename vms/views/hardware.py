"""Disks and NICs of a VM: shown, added, enlarged, taken away."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from kvmweb.ui.answers import done, form_page
from kvmweb.ui.forms import ActionForm
from kvmweb.ui.requests import actor_of, user_of
from networks.models import Network
from vms import actions
from vms.forms import DiskForm, GoneForm, NicForm
from vms.models import Vm
from vms.views.vms import GET_OR_POST, context_of


@GET_OR_POST
def hardware(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The disks and NICs, with the form of one more disk."""
    form = DiskForm(request.POST or None)
    if request.method == "POST" and form.done(
        lambda data: actions.add_disk(actor_of(request), uuid, **data)
    ):
        return done(request, "The disk is being added.", "vm-hardware", uuid)
    return _page(request, uuid, form)


@require_POST
def add_nic(request: HttpRequest, uuid: UUID) -> HttpResponse:
    form = NicForm(
        request.POST, networks=_networks(request, context_of(request, uuid, "hardware")["vm"])
    )
    if form.done(lambda data: actions.add_nic(actor_of(request), uuid, **data)):
        return done(request, "The NIC is being added.", "vm-hardware", uuid)
    return _page(request, uuid, form)


@require_POST
def grow_disk(request: HttpRequest, uuid: UUID) -> HttpResponse:
    form = DiskForm(request.POST)
    disk = request.POST.get("disk", "")
    if form.done(lambda data: actions.grow_disk(actor_of(request), uuid, disk=disk, **data)):
        return done(request, "The disk is being enlarged.", "vm-hardware", uuid)
    return _page(request, uuid, form)


@require_POST
def remove(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """A disk with its data, or a NIC with its address and forwards, once that is confirmed."""
    form = GoneForm(request.POST)
    actor, disk, nic = actor_of(request), request.POST.get("disk"), request.POST.get("nic", "")
    if form.done(
        lambda _: (
            actions.remove_disk(actor, uuid, disk=disk)
            if disk
            else actions.remove_nic(actor, uuid, nic=nic)
        )
    ):
        return done(request, "It is being taken away.", "vm-hardware", uuid)
    return _page(request, uuid, form)


def _page(request: HttpRequest, uuid: UUID, form: ActionForm) -> HttpResponse:
    context = context_of(request, uuid, "hardware")
    networks = _networks(request, context["vm"])
    context["disk_form"] = DiskForm()
    context["nic_form"] = NicForm(networks=networks) if networks else None
    for disk in context["vm"].disks.all():
        disk.form = DiskForm(auto_id=f"id_{disk.uuid}_%s", initial={"size_gib": disk.size_gib})
    return form_page(request, "vms/hardware.html", form, **context)


def _networks(request: HttpRequest, vm: Vm) -> list[Network]:
    rows = Network.objects.writable_by(user_of(request)).filter(present=True)
    return list(rows.filter(project=vm.project_id, host=vm.host_id))
