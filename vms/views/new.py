"""The one page that makes a VM, its network and its doors."""

from __future__ import annotations

from itertools import count
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from kvmweb.core.errors import KvmwebError
from kvmweb.hosts.facts import choose_host
from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.projects.models import Project
from kvmweb.ui.answers import form_page
from kvmweb.ui.requests import actor_of, current_project, user_of, writable_projects
from networks.actions import proposed_subnet
from networks.models import Network
from networks.ports import addresses_of, proposed
from networks.views.forwards import default_address, warn
from vms.actions import create_vm, is_limited
from vms.forms import NEW, NewVmForm
from vms.models import Flavour, Image, SshKey, Vm

MOST_DOORS = 8


@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    projects = writable_projects(request)
    networks = _networks(request)
    images = list(_images(request))
    host = _host()
    form = NewVmForm(
        request.POST or None,
        projects=projects,
        networks=networks,
        images=images,
        addresses=addresses_of(_host_ids(networks, host)),
        keys=list(SshKey.objects.visible_to(user_of(request))),
        flavours=list(Flavour.objects.visible_to(user_of(request))),
        limited=is_limited(actor_of(request)),
        initial=_initial(request, projects[0], networks, images, host),
    )
    if request.method == "POST" and (made := _create(request, form)):
        return _made(request, made, form.password_made)
    public = default_address(host) if host else None
    context = {"images": images, "networks": networks, "public": public, "host": host}
    _place_ports(form, public)
    return form_page(request, "vms/new.html", form, **context)


def _made(request: HttpRequest, vm: Vm, password: str) -> HttpResponse:
    """On to the VM; a password that was made is shown right here, because it is kept nowhere."""
    if not password:
        return redirect("vm", vm.uuid)
    answer = render(request, "vms/made.html", {"vm": vm, "password": password})
    answer["Cache-Control"] = "private, no-store"
    return answer


def _create(request: HttpRequest, form: NewVmForm) -> Vm | None:
    made = form.submit(lambda _: create_vm(actor_of(request), form.wanted()))
    if made is not None:
        doors = made.nics.all()[0].reservation.forwards
        for forward in doors.select_related("public_address__host"):
            warn(request, forward)
    return made


def _images(request: HttpRequest) -> QuerySet[Image]:
    usable = Image.objects.visible_to(user_of(request)).usable().disks()
    return usable.select_related("project")


def _networks(request: HttpRequest) -> list[Network]:
    rows = Network.objects.writable_by(user_of(request)).filter(present=True)
    if project := current_project(request):
        rows = rows.filter(project=project)
    return list(rows.select_related("project", "source_address", "attachment"))


def _host_ids(networks: list[Network], host: Host | None) -> set[int]:
    """The hosts where the VM could come to be."""
    return {network.host_id for network in networks} | ({host.pk} if host else set())


def _host() -> Host | None:
    """Where a new network would be; None while no operator has added a host."""
    try:
        return choose_host()
    except KvmwebError:
        return None


def _initial(
    request: HttpRequest,
    project: Project,
    networks: list[Network],
    images: list[Image],
    host: Host | None,
) -> dict[str, Any]:
    """A sensible value in every field, so that a name is all one has to think about."""
    return {
        "name": _free_name("vm", project.vms.filter(present=True)),
        "image": request.GET.get("image") or (str(images[0].uuid) if images else None),
        "network": str(networks[0].uuid) if networks else NEW,
        "network_name": _free_name("net", project.networks.filter(present=True)),
        "ipv4_subnet": _subnet(host, project),
        "project": str(project.uuid),
    }


def _free_name(word: str, rows: QuerySet[Any]) -> str:
    taken = set(rows.values_list("name", flat=True))
    return next(name for n in count(1) if (name := f"{word}-{n}") not in taken)


def _subnet(host: Host | None, project: Project) -> str:
    try:
        return proposed_subnet(host, project) if host else ""
    except KvmwebError:
        return ""


def _place_ports(form: NewVmForm, public: PublicAddress | None) -> None:
    """Show in each empty port field the port it would get."""
    ports = proposed(public, ["tcp"], MOST_DOORS) if public else []
    for row, port in zip(form.rows.forms, ports, strict=False):
        row.fields["public_port"].widget.attrs["placeholder"] = port
