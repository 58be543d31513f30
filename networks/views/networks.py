"""Networks and their reservations."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from kvmweb.core.access import get_for
from kvmweb.core.errors import KvmwebError
from kvmweb.hosts.facts import choose_host
from kvmweb.jobs.steps import fold
from kvmweb.ui.answers import done, form_page
from kvmweb.ui.forms import ActionForm
from kvmweb.ui.listing import listing
from kvmweb.ui.requests import (
    actor_of,
    current_project,
    user_of,
    writable_ids,
    writable_projects,
)
from networks import actions, subnet_map
from networks.forms.networks import NetworkForm, ReservationForm
from networks.models import Attachment, Forward, HostName, Lease, Network, Reservation
from networks.views.peering import peers_of

GET_OR_POST = require_http_methods(["GET", "POST"])


def networks(request: HttpRequest) -> HttpResponse:
    rows = Network.objects.visible_to(user_of(request)).for_display()
    if project := current_project(request):
        rows = rows.filter(project=project)
    found = listing(
        request,
        rows,
        search=["name", "ipv4_subnet"],
        sorts={"name": ["name"], "created": ["-created_at"]},
    )
    return render(request, "networks/networks.html", {"list": found})


def network(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return render(request, "networks/network.html", _context(request, uuid))


def _context(request: HttpRequest, uuid: UUID) -> dict[str, Any]:
    get_for(user_of(request), Network, uuid)
    found = Network.objects.visible_to(user_of(request)).for_display().get(uuid=uuid)
    guests = _guests(request, found)
    writable = writable_ids(request)
    shown = Forward.objects.visible_to(user_of(request)).for_display()
    forwards = list(shown.filter(network=found))
    return {
        "network": found,
        "guests": guests,
        "forwards": forwards,
        "is_reached_as_a_whole": found.mode == Network.Mode.ROUTED
        or (found.is_bridged and found.is_filtered)
        or found.ipv6 == "routed"
        or any(forward.protocol == Forward.Protocol.ALL for forward in forwards),
        "map": None
        if found.is_bridged
        else subnet_map.draw(found.subnet, [_taken(guest) for guest in guests]),
        "names": HostName.objects.visible_to(user_of(request)).for_display().filter(network=found),
        "drifts": found.drifts.for_display()[:10],
        "leases": _leases(request, found),
        "job": found.job,
        "steps": fold(found.job.events.order_by("seq")) if found.job else [],
        "may_write": found.project_id in writable,
        "writable": writable,
        "reservation_form": ReservationForm(),
        **peers_of(request, found),
    }


def _leases(request: HttpRequest, found: Network) -> list[Lease]:
    rows = Lease.objects.visible_to(user_of(request)).filter(reservation__network=found)
    return list(rows.select_related("reservation"))


def _guests(request: HttpRequest, found: Network) -> list[Reservation]:
    rows = Reservation.objects.visible_to(user_of(request)).filter(network=found)
    return list(
        rows.select_related("nic__vm__host", "nic__vm__job", "network__host", "network__job")
    )


def _taken(guest: Reservation) -> subnet_map.Taken:
    kind = "used" if getattr(guest, "nic", None) else "reserved"
    return subnet_map.Taken(guest.place, kind, guest.name)


@GET_OR_POST
def new(request: HttpRequest) -> HttpResponse:
    projects = writable_projects(request)
    initial = {"name": "", "ipv4_subnet": _proposed_subnet(projects), "guarded": True}
    form = NetworkForm(
        request.POST or None,
        projects=projects,
        routed=_routed_subnets(),
        attachments=list(_attachments(request)),
        initial=initial,
    )
    if request.method == "POST":
        default = str(projects[0].uuid)

        def create(data: dict[str, Any]) -> Network:
            asked = {**data, "project": data.get("project") or default}
            return actions.create_network(actor_of(request), **asked)

        if made := form.submit(create):
            return redirect("network", made.uuid)
    return form_page(request, "networks/new.html", form)


def _proposed_subnet(projects: list[Any]) -> str:
    """A free subnet, or nothing while there is no host to have it on."""
    try:
        return actions.proposed_subnet(choose_host(), projects[0])
    except KvmwebError:
        return ""


def _attachments(request: HttpRequest) -> QuerySet[Attachment]:
    return Attachment.objects.visible_to(user_of(request)).select_related("host")


def _routed_subnets() -> list[str]:
    """What is routed to the host that a new network would be on."""
    try:
        return list(choose_host().routed_subnets)
    except KvmwebError:
        return []


@GET_OR_POST
def delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    found = get_for(user_of(request), Network, uuid, write=True)
    form = ActionForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.done(
        lambda _: actions.delete_network(actor_of(request), uuid)
    ):
        return done(request, f"Network {found} is being deleted.", "networks")
    parts = {"present": True}
    context = {
        "network": found,
        "vms": found.reservations.filter(nic__isnull=False, **parts).count(),
        "reservations": found.reservations.filter(nic__isnull=True, **parts).count(),
        "forwards": found.forwards.filter(**parts).count(),
        "host_names": found.hostnames.filter(**parts).count(),
    }
    return form_page(request, "networks/delete.html", form, **context)


@require_POST
def check(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return redirect("job", actions.check_network(actor_of(request), uuid).uuid)


@require_POST
def repair(request: HttpRequest, uuid: UUID) -> HttpResponse:
    actions.repair_network(actor_of(request), uuid)
    return redirect("network", uuid)


@GET_OR_POST
def reservation_new(request: HttpRequest, uuid: UUID) -> HttpResponse:
    found = get_for(user_of(request), Network, uuid, write=True)
    form = ReservationForm(request.POST or None)
    if request.method == "POST" and form.done(
        lambda data: actions.add_reservation(actor_of(request), network=uuid, **data)
    ):
        return redirect("network", uuid)
    return form_page(request, "networks/reservation_new.html", form, network=found)


@require_POST
def reservation_delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    gone = actions.delete_reservation(actor_of(request), uuid)
    return done(request, f"{gone.place} is being released.", "network", gone.network.uuid)
