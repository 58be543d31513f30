"""The list of VMs and the pages of one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings as panel
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from kvmweb.core.access import get_for
from kvmweb.core.errors import Invalid
from kvmweb.jobs.models import Job
from kvmweb.jobs.steps import fold
from kvmweb.projects.actions import Actor
from kvmweb.ui.answers import done, form_page
from kvmweb.ui.listing import Choice, listing
from kvmweb.ui.requests import actor_of, current_project, may_write, user_of
from networks.forms.forwards import ForwardForm
from networks.models import Network
from networks.ports import addresses_of, proposed
from networks.views.forwards import default_address
from vms import actions
from vms.doors import doors_of
from vms.forms import DeleteForm, SizeForm
from vms.models import Flavour, Vm
from vms.states import state_choices

GET_OR_POST = require_http_methods(["GET", "POST"])
LATEST_JOBS = 30
POWERS: dict[str, Callable[[Actor, UUID], Vm]] = {
    "start": partial(actions.set_power, power=Vm.Power.ON),
    "stop": partial(actions.set_power, power=Vm.Power.OFF),
    "force": partial(actions.set_power, power=Vm.Power.OFF, force=True),
    "pause": partial(actions.set_power, power=Vm.Power.PAUSED),
    "save": partial(actions.set_power, power=Vm.Power.SAVED),
    "resume": actions.resume_vm,
    "reboot": actions.restart_vm,
    "reset": partial(actions.restart_vm, force=True),
}


def vms(request: HttpRequest) -> HttpResponse:
    mine = Vm.objects.visible_to(user_of(request))
    rows = mine.kept().for_display()
    networks = Network.objects.visible_to(user_of(request))
    if project := current_project(request):
        rows, networks = rows.filter(project=project), networks.filter(project=project)
    found = listing(
        request,
        rows,
        search=["name", "nics__reservation__address"],
        sorts={"name": ["name"], "size": ["memory_mib", "vcpus"], "created": ["-created_at"]},
        choices={"state": state_choices(), "network": _network_choices(list(networks))},
    )
    for vm in found.page:
        vm.doors = doors_of(vm)  # type: ignore[attr-defined]
    binned = mine.in_bin().filter(**({"project": project} if project else {}))
    return render(request, "vms/vms.html", {"list": found, "in_bin": binned.count()})


def _network_choices(networks: list[Network]) -> list[Choice]:
    return [
        Choice(str(network.uuid), network.name, Q(nics__reservation__network=network))
        for network in networks
    ]


def vm(request: HttpRequest, uuid: UUID) -> HttpResponse:
    context = context_of(request, uuid, "overview")
    found: Vm = context["vm"]
    context["doors"] = doors = doors_of(found)
    keyless = not (found.ssh_keys or found.user_data or found.password_hash)
    context["needs_key"] = keyless and any(door.kind == "ssh" for door in doors)
    context["steps"] = fold(found.job.events.order_by("seq")) if found.job else []
    if context["may_write"]:
        context |= _forward_form(found)
    return render(request, "vms/vm.html", context)


def _forward_form(found: Vm) -> dict[str, Any]:
    """The form that opens one more door, with the port it would get."""
    public = default_address(found.host)
    targets = [each for each in found.reservations if each.network.mode == Network.Mode.NAT]
    if public is None or not targets:
        return {}
    form = ForwardForm(
        targets=targets,
        addresses=addresses_of([found.host_id]),
        initial={"reservation": targets[0].uuid},
    )
    ports = proposed(public, ["tcp"], 1)
    form.fields["public_port"].widget.attrs["placeholder"] = next(iter(ports), "")
    return {"forward_form": form}


def activity(request: HttpRequest, uuid: UUID) -> HttpResponse:
    context = context_of(request, uuid, "activity")
    jobs = Job.objects.visible_to(user_of(request)).of(Vm.kind, uuid)
    context["jobs"] = jobs.select_related("requested_by")[:LATEST_JOBS]
    return render(request, "vms/activity.html", context)


@GET_OR_POST
def settings(request: HttpRequest, uuid: UUID) -> HttpResponse:
    context = context_of(request, uuid, "settings")
    found: Vm = context["vm"]
    initial = {name: getattr(found, name) for name in ("name", "vcpus", "memory_mib", "autostart")}
    initial["flavour"] = str(found.flavour.uuid) if found.flavour else ""
    form = SizeForm(
        request.POST or None,
        initial=initial,
        flavours=list(Flavour.objects.visible_to(user_of(request)).usable_in(found.project)),
        limited=actions.is_limited(actor_of(request)),
    )
    if request.method == "POST" and (
        changed := form.submit(
            lambda _: actions.change_vm(actor_of(request), uuid, **form.change())
        )
    ):
        return done(request, _when(found, changed), "vm", uuid)
    return form_page(request, "vms/settings.html", form, **context)


def _when(before: Vm, after: Vm) -> str:
    """When what was changed takes effect, where that is known."""
    if after.memory_mib > before.memory_mib and before.power_state in {"running", "paused"}:
        return "The VM is being changed. More memory takes effect at its next start."
    return "The VM is being changed."


def context_of(request: HttpRequest, uuid: UUID, tab: str) -> dict[str, Any]:
    get_for(user_of(request), Vm, uuid)
    found = Vm.objects.visible_to(user_of(request)).for_display().get(uuid=uuid)
    return {
        "vm": found,
        "job": found.job,
        "tab": tab,
        "network": found.reservations[0].network if found.reservations else None,
        "may_write": may_write(request, found.project_id),
    }


@require_POST
def power(request: HttpRequest, uuid: UUID) -> HttpResponse:
    wish = POWERS.get(request.POST.get("power", ""))
    if wish is None:
        raise Invalid(f"Use one of {', '.join(POWERS)}.", field="power")
    wish(actor_of(request), uuid)
    return redirect("vm", uuid)


@require_POST
def check(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return redirect("job", actions.check_vm(actor_of(request), uuid).uuid)


@require_POST
def repair(request: HttpRequest, uuid: UUID) -> HttpResponse:
    actions.repair_vm(actor_of(request), uuid)
    return redirect("vm", uuid)


@GET_OR_POST
def delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    found = get_for(user_of(request), Vm, uuid, write=True)
    form = DeleteForm(request.POST or None, expected=found.name)
    now = found.goes_at is not None
    delete = actions.delete_now if now else actions.bin_vm
    if request.method == "POST" and form.done(lambda _: delete(actor_of(request), uuid)):
        words = "is being deleted" if now or not panel.KVMWEB_BIN_DAYS else "is in the bin"
        return done(request, f"VM {found} {words}.", "vms-bin" if now else "vms")
    days = 0 if now else panel.KVMWEB_BIN_DAYS
    goes = actions.what_goes(found)
    return form_page(request, "vms/delete.html", form, vm=found, goes=goes, days=days)


def recycle_bin(request: HttpRequest) -> HttpResponse:
    """The VMs that can be taken back."""
    rows = Vm.objects.visible_to(user_of(request)).in_bin().for_display()
    if project := current_project(request):
        rows = rows.filter(project=project)
    return render(request, "vms/bin.html", {"vms": rows.order_by("goes_at")})


@require_POST
def restore(request: HttpRequest, uuid: UUID) -> HttpResponse:
    found = actions.restore_vm(actor_of(request), uuid)
    return done(request, f"VM {found} is back.", "vm", uuid)
