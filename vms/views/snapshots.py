"""Snapshots of a VM as a tree: shown, taken, gone back to, deleted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from kvmweb.core.access import get_for
from kvmweb.ui.answers import done, form_page
from kvmweb.ui.forms import ActionForm
from kvmweb.ui.requests import actor_of, user_of
from vms import actions
from vms.forms import BackForm, GoneForm, SnapshotForm
from vms.models import Snapshot
from vms.views.vms import GET_OR_POST, context_of


@dataclass(slots=True)
class Branch:
    """A snapshot with those that stand on it."""

    snapshot: Snapshot
    branches: list[Branch] = field(default_factory=list)


def tree(snapshots: Iterable[Snapshot]) -> list[Branch]:
    """The roots, oldest first. Pure."""
    branches = {snapshot.pk: Branch(snapshot) for snapshot in snapshots}
    roots: list[Branch] = []
    for branch in branches.values():
        below = branches.get(branch.snapshot.parent_id or 0)
        (below.branches if below else roots).append(branch)
    return roots


@GET_OR_POST
def snapshots(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The tree, with the form of one more."""
    form = SnapshotForm(request.POST or None, initial={"memory": True})
    if request.method == "POST" and form.done(
        lambda data: actions.take_snapshot(
            actor_of(request),
            vm=uuid,
            name=data["name"],
            note=data["note"],
            memory=data["memory"],
        )
    ):
        return done(request, "The snapshot is being taken.", "vm-snapshots", uuid)
    return _page(request, uuid, form)


@require_POST
def back(request: HttpRequest, uuid: UUID) -> HttpResponse:
    vm = _vm_of(request, uuid)
    form = BackForm(request.POST)
    if form.done(lambda data: actions.go_back(actor_of(request), uuid, memory=data["memory"])):
        return done(request, "The VM is going back.", "vm-snapshots", vm)
    return _page(request, vm, form)


@require_POST
def delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    vm = _vm_of(request, uuid)
    form = GoneForm(request.POST)
    if form.done(lambda _: actions.delete_snapshot(actor_of(request), uuid)):
        return done(request, "The snapshot is being deleted.", "vm-snapshots", vm)
    return _page(request, vm, form)


def _vm_of(request: HttpRequest, snapshot: UUID) -> UUID:
    return get_for(user_of(request), Snapshot, snapshot, write=True).vm.uuid


def _page(request: HttpRequest, vm: UUID, form: ActionForm) -> HttpResponse:
    context = context_of(request, vm, "snapshots")
    found = context["vm"]
    context["tree"] = tree(Snapshot.objects.visible_to(user_of(request)).filter(vm=found))
    context["take_form"] = form if isinstance(form, SnapshotForm) else SnapshotForm()
    context["runs"] = found.power_state in {"running", "paused"}
    context["free_gib"] = found.host.facts.get("disk_free_gib")
    return form_page(request, "vms/snapshots.html", form, **context)
