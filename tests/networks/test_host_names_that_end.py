"""Host names that are paused or do not last for good: kept, warned of, closed, extended."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from kvmweb.core.errors import Conflict, Invalid
from kvmweb.projects.actions import Actor
from kvmweb.projects.models import AuditEvent
from networks.actions import (
    add_forward,
    add_host_name,
    change_host_name,
    extend_host_name,
    pause_host_name,
    resume_host_name,
)
from networks.models import HostName, Network
from networks.spec_from_rows import build_spec
from networks.tasks import expire
from tests.cast import finish_job
from tests.refusals import refused

pytestmark = [pytest.mark.db, pytest.mark.django_db]

HOUR = timedelta(hours=1)


def is_served(name: HostName) -> bool:
    spec = build_spec(Network.objects.get(pk=name.network_id))
    return str(name.uuid) in {entry["id"] for entry in spec["host_names"]}


def over(name: HostName) -> None:
    """Its time is over, and the sweep has not seen it yet."""
    HostName.objects.filter(pk=name.pk).update(expires_at=timezone.now() - HOUR)


def state_of(name: HostName) -> str:
    finish_job(Network.objects.get(pk=name.network_id).job)
    return str(HostName.objects.get(pk=name.pk).state.value)


def test_a_paused_name_is_served_to_nobody_and_kept(actor: Actor, host_name: HostName) -> None:
    pause_host_name(actor, host_name.uuid)
    assert not is_served(host_name)
    assert state_of(host_name) == "paused"
    with refused(Conflict, field="name", code="host_name_taken"):
        add_host_name(actor, reservation=host_name.reservation.uuid, name=host_name.name)
    target = {"reservation": host_name.reservation.uuid, "target_port": 80, "public_port": 443}
    with refused(Conflict, field="public_port", code="port_shared"):
        add_forward(actor, **target)  # type: ignore[arg-type]
    resume_host_name(actor, host_name.uuid)
    assert is_served(host_name)
    assert state_of(host_name) == "active"
    said = AuditEvent.objects.filter(object_uuid=host_name.uuid).values_list("action", flat=True)
    assert {"host_name.pause", "host_name.resume"} <= set(said)


def test_what_is_over_is_closed_once_and_stays_the_projects(
    actor: Actor, host_name: HostName
) -> None:
    lasting = add_host_name(
        actor,
        reservation=host_name.reservation.uuid,
        name="lasting.example.org",
        expires_at=timezone.now() + HOUR,
    )
    over(host_name)
    generation = Network.objects.get(pk=host_name.network_id).generation
    for _ in range(2):
        expire()
    assert not is_served(host_name)
    assert is_served(lasting)
    assert Network.objects.get(pk=host_name.network_id).generation == generation + 1
    event = AuditEvent.objects.get(action="host_name.expire")
    assert (event.actor, event.actor_name, event.project) == (None, "kvmweb", host_name.project)
    assert event.job_uuid
    assert state_of(host_name) == "paused"


def test_extending_serves_it_again(actor: Actor, host_name: HostName) -> None:
    over(host_name)
    expire()
    with refused(Conflict, code="expired"):
        resume_host_name(actor, host_name.uuid)
    first = extend_host_name(actor, host_name.uuid)
    assert is_served(host_name)
    assert first.expires_at is not None
    assert timedelta(hours=23) < first.expires_at - timezone.now() <= timedelta(hours=24)
    over(host_name)
    expire()
    change_host_name(actor, host_name.uuid, expires_at=None)
    assert is_served(host_name)
    for at in (timezone.now() - HOUR, timezone.now() + timedelta(days=400)):
        with refused(Invalid, "expires_at"):
            change_host_name(actor, host_name.uuid, expires_at=at)


def test_pages_warn_a_day_ahead_and_say_what_is_paused(
    alice: User, client: Client, actor: Actor, host_name: HostName
) -> None:
    client.force_login(alice)
    form = {"http_port": "80", "tls": "off", "expires_at": "2h"}
    client.post(reverse("host-name", args=[host_name.uuid]), form)
    assert f"{host_name.name} expires soon" in client.get("/").content.decode()
    assert b"One day more" in client.get(reverse("host-names")).content
    vm = reverse("vm", args=[host_name.reservation.nic.vm.uuid])
    link = f'href="http://{host_name.name}/"'
    assert link in client.get(vm).content.decode()
    client.post(reverse("host-name-pause", args=[host_name.uuid]))
    page = client.get(vm).content.decode()
    assert link not in page
    assert "<strong>Paused</strong>" in page
    assert "expires soon" not in client.get("/").content.decode()
    why = client.get(reverse("host-name-why-now", args=[host_name.uuid])).content.decode()
    assert "The host name is not paused" in why
    assert reverse("host-name-resume", args=[host_name.uuid]) in why
    over(host_name)
    why = client.get(reverse("host-name-why-now", args=[host_name.uuid])).content.decode()
    assert "It has expired" in why
    assert reverse("host-name-resume", args=[host_name.uuid]) not in why
