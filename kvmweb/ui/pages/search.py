"""Search over everything a user may see: by name, address, or port."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from kvmweb.hosts.models import Host
from kvmweb.ui.requests import user_of
from networks.models import Forward, Network
from vms.models import Vm

MOST = 6
PLACES = {
    "New VM": "vm-new",
    "New network": "network-new",
    "New forward": "forward-new",
    "Activity": "activity",
    "Images": "images",
    "API tokens": "tokens",
    "Change password": "password",
}


@dataclass(frozen=True, slots=True)
class Hit:
    name: str
    detail: str
    kind: str
    icon: str
    url: str


def search(request: HttpRequest) -> HttpResponse:
    text = request.GET.get("q", "").strip()[:100]
    found = list(_hits(user_of(request), text)) if text else []
    return render(request, "ui/search.html", {"text": text, "found": found})


def _hits(user: User, text: str) -> Iterator[Hit]:
    yield from _vms(user, text)
    yield from _networks(user, text)
    yield from _forwards(user, text)
    for host in Host.objects.visible_to(user).filter(name__icontains=text)[:MOST]:
        yield Hit(host.name, "", "Host", "server", reverse("host", args=[host.uuid]))
    for name, place in PLACES.items():
        if text.lower() in name.lower():
            yield Hit(name, "", "Go to", "arrow-right", reverse(place))


def _vms(user: User, text: str) -> Iterator[Hit]:
    by_address = Q(nics__reservation__address__startswith=text)
    rows = Vm.objects.visible_to(user).for_display()
    for vm in rows.filter(Q(name__icontains=text) | by_address).distinct()[:MOST]:
        yield Hit(vm.name, vm.address, "VM", "server-2", reverse("vm", args=[vm.uuid]))


def _networks(user: User, text: str) -> Iterator[Hit]:
    wanted = Q(name__icontains=text) | Q(ipv4_subnet__startswith=text)
    for row in Network.objects.visible_to(user).select_related("attachment").filter(wanted)[:MOST]:
        url = reverse("network", args=[row.uuid])
        yield Hit(row.name, row.place, "Network", "network", url)


def _forwards(user: User, text: str) -> Iterator[Hit]:
    wanted = Q(note__icontains=text) | Q(public_address__address__startswith=text)
    port = text.rpartition(":")[2]
    if port.isdecimal() and len(port) <= 5:
        wanted |= Q(public_port=int(port)) | Q(target_port=int(port))
    for row in Forward.objects.visible_to(user).for_display().filter(wanted, present=True)[:MOST]:
        url = reverse("forward", args=[row.uuid])
        target = f"→ {row.reservation.name}:{row.target_port}"
        yield Hit(row.public_endpoint, target, "Forward", "arrows-right-left", url)
