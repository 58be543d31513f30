"""Live connections of a VM, see `networks.views.flows`."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST, require_safe

from kvmweb.core.access import get_for
from kvmweb.core.errors import Conflict
from kvmweb.ui.asking import asks_host
from kvmweb.ui.requests import user_of
from networks.flows import Of, is_tracked, of_guest
from networks.models import Network
from networks.views.flows import flows_end, flows_now, flows_page
from vms.models import Vm


@require_safe
def flows(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return flows_page(request, of_vm(request, uuid))


@asks_host
@require_safe
def now(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return flows_now(request, of_vm(request, uuid))


@asks_host
@require_POST
def end(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return flows_end(request, of_vm(request, uuid, write=True))


def of_vm(
    request: HttpRequest,
    uuid: UUID,
    *,
    write: bool = False,
    tells: Callable[[Network], bool] = is_tracked,
) -> Of:
    """The addresses of a VM in all of its networks."""
    get_for(user_of(request), Vm, uuid, write=write)
    vm = Vm.objects.visible_to(user_of(request)).for_display().get(uuid=uuid)
    if not vm.reservations:
        raise Conflict("This VM has no NIC.", code="no_nic")
    return of_guest(vm, Vm.kind, vm.reservations, tells)
