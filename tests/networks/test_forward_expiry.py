"""Forwards that do not last for good: warned of, closed when their time is over, extended."""

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
from networks.actions import add_forward, change_forward, extend_forward, resume_forward
from networks.models import Forward, Network, PortClaim, Reservation
from networks.spec_from_rows import build_spec
from networks.tasks import expire
from tests.cast import finish_job
from tests.refusals import refused

pytestmark = [pytest.mark.db, pytest.mark.django_db]

HOUR = timedelta(hours=1)


def is_open(forward: Forward) -> bool:
    spec = build_spec(Network.objects.get(pk=forward.network_id))
    return str(forward.uuid) in {entry["id"] for entry in spec["forwards"]}


def over(forward: Forward) -> None:
    """Its time is over, and the sweep has not seen it yet."""
    Forward.objects.filter(pk=forward.pk).update(expires_at=timezone.now() - HOUR)


def test_what_is_over_is_closed_once_and_keeps_its_port(
    actor: Actor, forward: Forward, reservation: Reservation
) -> None:
    lasting = add_forward(
        actor, reservation=reservation.uuid, target_port=80, expires_at=timezone.now() + HOUR
    )
    over(forward)
    generation = Network.objects.get(pk=forward.network_id).generation
    for _ in range(2):
        expire()
    assert not is_open(forward)
    assert is_open(lasting)
    assert Network.objects.get(pk=forward.network_id).generation == generation + 1
    assert PortClaim.objects.filter(forward=forward).exists()
    event = AuditEvent.objects.get(action="forward.expire")
    assert (event.actor, event.actor_name, event.project) == (None, "kvmweb", forward.project)
    assert event.job_uuid
    finish_job(Network.objects.get(pk=forward.network_id).job)
    assert Forward.objects.get(pk=forward.pk).state.value == "paused"


def test_extending_opens_again_and_adds_to_what_is_left(actor: Actor, forward: Forward) -> None:
    over(forward)
    expire()
    with refused(Conflict, code="expired"):
        resume_forward(actor, forward.uuid)
    first = extend_forward(actor, forward.uuid)
    assert is_open(forward)
    assert first.expires_at is not None
    assert timedelta(hours=23) < first.expires_at - timezone.now() <= timedelta(hours=24)
    second = extend_forward(actor, forward.uuid, hours=2)
    assert second.expires_at is not None
    assert timedelta(0) <= second.expires_at - first.expires_at - 2 * HOUR < timedelta(minutes=5)
    over(forward)
    expire()
    change_forward(actor, forward.uuid, expires_at=None)
    assert is_open(forward)


def test_an_end_is_ahead_and_within_a_year(actor: Actor, forward: Forward) -> None:
    for at in (timezone.now() - HOUR, timezone.now() + timedelta(days=400)):
        with refused(Invalid, "expires_at"):
            change_forward(actor, forward.uuid, expires_at=at)
    with refused(Invalid, "hours"):
        extend_forward(actor, forward.uuid, hours=0)


def test_the_overview_and_the_list_warn_a_day_ahead(
    alice: User, client: Client, actor: Actor, forward: Forward
) -> None:
    client.force_login(alice)
    change_forward(actor, forward.uuid, expires_at=timezone.now() + 30 * HOUR)
    assert "expires soon" not in client.get("/").content.decode()
    change_forward(actor, forward.uuid, expires_at=timezone.now() + 2.5 * HOUR)
    assert "198.51.100.11:20022 expires soon" in client.get("/").content.decode()
    shown = client.get(reverse("forwards")).content.decode()
    assert "in 2 h" in shown
    for hours, count in ((2, 0), (3, 1)):
        until = {"expires_before": (timezone.now() + hours * HOUR).isoformat()}
        found = client.get("/api/v1/forwards/", until).json()["results"]
        assert len(found) == count
    assert reverse("forward-extend", args=[forward.uuid]) in shown


def test_the_form_takes_moments_and_hours(alice: User, client: Client, forward: Forward) -> None:
    client.force_login(alice)
    page = reverse("forward", args=[forward.uuid])
    tomorrow = (timezone.now() + 24 * HOUR).strftime("%Y-%m-%d %H:%M")
    for text, hours in ((tomorrow, 24), ("8h", 8)):
        assert client.post(page, {"expires_at": text}).status_code == 302
        ends = Forward.objects.get(pk=forward.pk).expires_at
        assert ends is not None
        assert abs(ends - timezone.now() - hours * HOUR) < timedelta(minutes=5)
    assert client.post(page, {"expires_at": ""}).status_code == 302
    assert Forward.objects.get(pk=forward.pk).expires_at is None
    for text in ("0h", "soon", "2020-01-01 00:00"):
        assert client.post(page, {"expires_at": text}).status_code == 400
