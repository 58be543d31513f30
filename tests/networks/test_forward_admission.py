"""Who may use a forward and how much; pausing it, and leading it elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from kvmweb.core.errors import Conflict, Forbidden, Invalid, NotFound
from kvmweb.hosts.models import PublicAddress
from kvmweb.projects.actions import Actor
from kvmweb.projects.models import AuditEvent
from networks.actions import (
    add_forward,
    add_reservation,
    change_forward,
    create_network,
    pause_forward,
    resume_forward,
)
from networks.models import Forward, Network, PortClaim, Reservation
from networks.spec_from_rows import build_spec
from tests.cast import finish_job
from tests.refusals import refused

pytestmark = [pytest.mark.db, pytest.mark.django_db]


def spec_of(forward: Forward) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = build_spec(Network.objects.get(pk=forward.network_id))["forwards"]
    return [entry for entry in found if entry["id"] == str(forward.uuid)]


def apply(forward: Forward) -> Forward:
    finish_job(Network.objects.get(pk=forward.network_id).job)
    return Forward.objects.get(pk=forward.pk)


def test_sources_and_limits_reach_the_host(actor: Actor, reservation: Reservation) -> None:
    forward = add_forward(
        actor,
        reservation=reservation.uuid,
        target_port=22,
        sources=[" 198.51.100.7 ", "10.1.2.3/16", "198.51.100.7/32", ""],
        max_connections=20,
        max_rate=5,
    )
    (entry,) = spec_of(forward)
    assert list(entry["sources"]) == ["198.51.100.7/32", "10.1.0.0/16"]
    assert (entry["connections"], entry["rate"], entry["burst"]) == (20, 5, 0)
    assert forward.who == "198.51.100.7, 10.1.0.0/16"
    changed = change_forward(actor, forward.uuid, sources=[], max_connections=None, max_burst=9)
    (entry,) = spec_of(changed)
    assert (list(entry["sources"]), entry["connections"], entry["burst"]) == ([], 0, 9)
    assert changed.who == "Anyone"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"sources": ["nonsense"]}, "sources"),
        ({"sources": ["0.0.0.0/0"]}, "sources"),
        ({"sources": ["2001:db8::/32"]}, "sources"),
        ({"sources": [f"10.0.{n}.0/24" for n in range(65)]}, "sources"),
        ({"max_connections": 0}, "max_connections"),
        ({"max_rate": -1}, "max_rate"),
        ({"max_burst": 10**12, "max_rate": 1}, "max_burst"),
        ({"max_burst": 5}, "max_burst"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    actor: Actor, forward: Forward, changes: Any, field: str
) -> None:
    with refused(Invalid, field):
        change_forward(actor, forward.uuid, **changes)
    with refused(Invalid, field):
        add_forward(actor, reservation=forward.reservation.uuid, target_port=80, **changes)


def test_a_paused_forward_is_closed_and_keeps_its_port(
    actor: Actor, forward: Forward, reservation: Reservation
) -> None:
    assert pause_forward(actor, forward.uuid).state.value == "creating"
    assert spec_of(forward) == []
    assert apply(forward).state.value == "paused"
    with refused(Conflict, "public_port", code="port_taken"):
        add_forward(actor, reservation=reservation.uuid, target_port=80, public_port=20022)
    resume_forward(actor, forward.uuid)
    assert len(spec_of(forward)) == 1
    assert apply(forward).state.value == "active"
    assert PortClaim.objects.filter(forward=forward).count() == 1
    done = AuditEvent.objects.filter(object_uuid=forward.uuid).values_list("action", flat=True)
    assert set(done) >= {"forward.pause", "forward.resume"}


def test_a_forward_moves_within_its_network_alone(
    actor: Actor, forward: Forward, network: Network
) -> None:
    sibling = add_reservation(actor, network=network.uuid, name="web-2")
    change_forward(actor, forward.uuid, reservation=sibling.uuid, target_port=8022)
    (entry,) = spec_of(forward)
    assert (entry["address"], entry["port"]) == (sibling.address, 8022)
    had = [(each.guest_name, each.until is None) for each in forward.holdings.order_by("pk")]
    assert had == [("web-1", False), ("web-2", True)]
    elsewhere = create_network(actor, name="other")
    stranger = add_reservation(actor, network=elsewhere.uuid, name="web-3")
    with refused(Conflict, "reservation", code="other_network"):
        change_forward(actor, forward.uuid, reservation=stranger.uuid)


def test_readers_and_strangers_pause_nothing(bob: User, mallory: User, forward: Forward) -> None:
    for ask in (pause_forward, resume_forward):
        with refused(Forbidden):
            ask(Actor(bob), forward.uuid)
        with refused(NotFound):
            ask(Actor(mallory), forward.uuid)


@pytest.fixture
def browser(alice: User, client: Client) -> Client:
    client.force_login(alice)
    return client


def test_the_page_changes_what_was_sent_and_nothing_else(
    browser: Client, actor: Actor, forward: Forward
) -> None:
    change_forward(actor, forward.uuid, sources=["198.51.100.7"], max_rate=5)
    page = reverse("forward", args=[forward.uuid])
    assert browser.post(page, {"target_port": "23"}).status_code == 302
    forward.refresh_from_db()
    assert (forward.target_port, forward.sources) == (23, ["198.51.100.7/32"])
    sent = {"target_port": "23", "sources": "10.0.0.0/8, 198.51.100.9\n", "max_rate": ""}
    assert browser.post(page, sent).status_code == 302
    forward.refresh_from_db()
    assert (forward.sources, forward.max_rate) == (["10.0.0.0/8", "198.51.100.9/32"], None)
    answer = browser.post(page, sent | {"sources": "anybody"})
    assert answer.status_code == 400
    assert "“anybody” is no address" in answer.content.decode()


def test_ones_own_address_is_offered_unless_it_is_the_machine_itself(
    browser: Client, forward: Forward
) -> None:
    page = reverse("forward", args=[forward.uuid])
    shown = browser.get(page, REMOTE_ADDR="198.51.100.77").content.decode()
    assert 'data-line="198.51.100.77"' in shown
    assert "data-line" not in browser.get(page).content.decode()
    mapped = browser.get(page, REMOTE_ADDR="::ffff:198.51.100.77").content.decode()
    assert 'data-line="198.51.100.77"' in mapped
    other = browser.get(page, REMOTE_ADDR="2001:db8::7").content.decode()
    assert "data-line" not in other, "a forward of IPv4 lets nobody of IPv6 in"
    PublicAddress.objects.filter(pk=forward.public_address_id).update(
        address="2001:db8::10", is_default=False
    )
    assert (
        'data-line="2001:db8::7"' in browser.get(page, REMOTE_ADDR="2001:db8::7").content.decode()
    )


def test_the_list_says_who_gets_in_and_pauses_in_one_click(
    browser: Client, actor: Actor, forward: Forward
) -> None:
    change_forward(actor, forward.uuid, sources=["198.51.100.7"], max_connections=3)
    shown = browser.get(reverse("forwards")).content.decode()
    assert "<strong>198.51.100.7</strong>" in shown
    assert "at most 3 connections" in shown
    browser.post(reverse("forward-pause", args=[forward.uuid]), {"next": "/forwards/"})
    shown = browser.get(reverse("forwards")).content.decode()
    assert reverse("forward-resume", args=[forward.uuid]) in shown
