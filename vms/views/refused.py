"""What the firewall refused to and from a VM, see `networks.views.refused`."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from kvmweb.ui.asking import asks_host
from networks.refused import is_filtered
from networks.views.refused import refused_now, refused_page
from vms.views.flows import of_vm


@require_safe
def refused(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return refused_page(request, of_vm(request, uuid, tells=is_filtered))


@asks_host
@require_safe
def now(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return refused_now(request, of_vm(request, uuid, tells=is_filtered))
