"""The first page: the picture, what needs attention, what happened last."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from kvmweb.core.choices import State
from kvmweb.hosts.models import Host
from kvmweb.projects.models import AuditEvent, Project
from kvmweb.ui.pages import picture
from kvmweb.ui.requests import current_project, user_of
from networks.models import (
    RENEWED_BEFORE,
    WARNED_BEFORE,
    Certificate,
    Forward,
    HostName,
    Network,
    PanelName,
)
from vms.models import Vm

MOST_NETWORKS = 8
MOST_VMS = 200
LATEST = 8
MOST_ENDING = 5


@dataclass(frozen=True, slots=True)
class Concern:
    """Something that needs a person, with the page where it is mended."""

    title: str
    reason: str
    url: str
    tone: str = "bad"
    since: datetime | None = None


def overview(request: HttpRequest) -> HttpResponse:
    user, project = user_of(request), current_project(request)
    networks = _in(Network.objects.visible_to(user).for_display(), project)
    vms = _in(Vm.objects.visible_to(user).kept().for_display(), project)
    shown_networks, shown_vms = list(networks[:MOST_NETWORKS]), list(vms[:MOST_VMS])
    context = {
        "picture": _picture(shown_networks, shown_vms),
        "hidden_networks": max(0, networks.count() - MOST_NETWORKS),
        "concerns": [
            *_concerns(user, shown_networks, shown_vms),
            *_ending(user, project),
            *_host_names(user, project),
            *_panel_names(user),
        ],
        "events": _events(user, project),
        "running": sum(vm.state is State.RUNNING for vm in shown_vms),
        "vm_count": vms.count(),
    }
    return render(request, "ui/overview.html", context)


def _in(rows: Any, project: Project | None) -> Any:
    return rows.filter(project=project) if project else rows


def _picture(networks: list[Network], vms: list[Vm]) -> picture.Picture:
    guests: dict[int, list[picture.VmRow]] = {}
    addresses = {source for network in networks for source in network.sources}
    for vm in vms:
        for reservation in vm.reservations:
            doors = [_door(forward, reservation.network) for forward in _open(reservation)]
            addresses |= {door.public_address for door in doors}
            row = picture.VmRow(
                reverse("vm", args=[vm.uuid]), vm.name, reservation.place, vm.state, doors
            )
            guests.setdefault(reservation.network_id, []).append(row)
    rows = [_network(network, guests.get(network.pk, [])) for network in networks]
    return picture.draw(rows, addresses)


def _open(reservation: Any) -> list[Forward]:
    return getattr(reservation, "open_forwards", [])


def _network(network: Network, guests: list[picture.VmRow]) -> picture.NetworkRow:
    return picture.NetworkRow(
        url=reverse("network", args=[network.uuid]),
        name=network.name,
        subnet=network.place,
        way=_way(network),
        host=network.host.name,
        sources=network.sources,
        state=network.state,
        vms=guests,
    )


def _way(network: Network) -> str:
    """How it goes out, in few words: a pool by its number."""
    if network.mode != Network.Mode.NAT:
        return str(network.mode)
    first, *more = network.sources or ["the host"]
    return f"out by {len(more) + 1} addresses" if more else f"out as {first}"


def _door(forward: Forward, network: Network) -> picture.DoorRow:
    forward.network = network
    return picture.DoorRow(
        url=reverse("forward", args=[forward.uuid]),
        endpoint=forward.public_endpoint,
        public_port=forward.public_port,
        target_port=forward.target_port,
        protocol=forward.get_protocol_display(),
        public_address=forward.public_address.address,
        state=forward.state,
    )


def _concerns(user: User, networks: list[Network], vms: list[Vm]) -> Iterator[Concern]:
    yield from _silent_hosts(user, [*networks, *vms])
    subjects: list[Network | Vm] = [*networks, *vms]
    for subject in subjects:
        if subject.state is State.ATTENTION:
            name = f"{'VM' if subject.kind == 'vm' else 'Network'} {subject}"
            reason = subject.job.message if subject.job and subject.job.has_failed else ""
            parts = ", ".join(subject.attention.values())
            url = reverse(subject.kind, args=[subject.uuid])
            since = subject.job.finished_at if subject.job else None
            yield Concern(name, reason or parts, url, since=since)


def _ending(user: User, project: Project | None) -> Iterator[Concern]:
    """Forwards that will soon be closed."""
    forwards = _in_project(Forward.objects.visible_to(user).filter(_soon(), present=True), project)
    for forward in forwards.for_display().order_by("expires_at")[:MOST_ENDING]:
        yield _ends(forward, forward.public_endpoint, "forward")


def _soon() -> Q:
    now = timezone.now()
    return Q(paused=False, expires_at__range=(now, now + WARNED_BEFORE))


def _in_project(rows: Any, project: Project | None) -> Any:
    return rows.filter(network__project=project) if project else rows


def _ends(found: Forward | HostName, what: str, page: str) -> Concern:
    return Concern(
        f"{what} expires soon",
        f"{found.reservation.name} can no longer be reached by it from "
        f"{found.expires_at:%Y-%m-%d %H:%M} UTC on.",
        reverse(page, args=[found.uuid]),
        tone="warn",
    )


def _host_names(user: User, project: Project | None) -> Iterator[Concern]:
    """Host names that will soon lead nowhere, or whose certificate browsers will soon refuse."""
    outdated = Q(certificate__not_after__lte=timezone.now() + RENEWED_BEFORE)
    rows = HostName.objects.visible_to(user).filter(_soon() | outdated, present=True)
    rows = _in_project(rows, project).for_display()
    for name in rows.order_by("expires_at", "certificate__not_after")[: 2 * MOST_ENDING]:
        if name.expires_soon:
            yield _ends(name, name.name, "host-name")
        certificate = name.own_certificate
        if certificate and certificate.ends_soon:
            yield _renew(certificate, name.name, reverse("host-name", args=[name.uuid]))


def _panel_names(user: User) -> Iterator[Concern]:
    """Names of the panel itself that are not served, or soon refused by browsers; they are in no
    project, and operators alone see them."""
    for panel in PanelName.objects.visible_to(user).for_display().filter(present=True):
        url = reverse("panel", args=[panel.uuid])
        if panel.problem:
            since = panel.job.finished_at if panel.job else None
            yield Concern(f"The panel's name {panel.name}", panel.problem, url, since=since)
        if panel.certificate.ends_soon:
            yield _renew(panel.certificate, panel.name, url)


def _renew(certificate: Certificate, name: str, url: str) -> Concern:
    return Concern(
        f"The certificate of {name} {'expired' if certificate.is_expired else 'expires soon'}",
        f"Browsers refuse it from {certificate.not_after:%Y-%m-%d %H:%M} UTC on. "
        "Give a renewed one.",
        url,
        tone="warn",
    )


def _silent_hosts(user: User, subjects: list[Any]) -> Iterator[Concern]:
    visible = set(Host.objects.visible_to(user))
    used = {subject.host for subject in subjects} | visible
    for host in sorted((host for host in used if host.is_silent), key=lambda host: host.name):
        seen = host in visible
        yield Concern(
            f"Host {host} is not answering",
            "What is shown of it may be old. Changes wait until it answers.",
            reverse("host", args=[host.uuid]) if seen else "",
            tone="warn",
            since=host.monitor_seen_at,
        )


def _events(user: User, project: Project | None) -> list[AuditEvent]:
    rows = AuditEvent.objects.visible_to(user)
    return list((rows.filter(project=project) if project else rows)[:LATEST])
