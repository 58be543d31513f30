"""What hosts tell of leases, noted and shown."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from kvmweb.core.errors import Invalid
from kvmweb.hosts.models import Host
from kvmweb.projects.actions import Actor
from networks.actions import add_reservation, change_reservation
from networks.leases import record
from networks.models import Lease, Network, Reservation

pytestmark = [pytest.mark.db, pytest.mark.django_db]


@pytest.fixture
def guest(actor: Actor, network: Network) -> Reservation:
    return add_reservation(actor, network=network.uuid, name="printer")


def said(*guests: Reservation, anew: bool = False, gone: tuple[str, ...] = ()) -> dict[str, Any]:
    expires = int((timezone.now() + timedelta(hours=1)).timestamp())
    leases = [
        {"mac": each.mac, "address": each.address, "hostname": "lp0", "expires": expires}
        for each in guests
    ]
    return {"anew": anew, "leases": leases, "gone": list(gone)}


def test_a_lease_is_noted_renewed_and_forgotten(host: Host, guest: Reservation) -> None:
    record(host, said(guest, anew=True))
    first = Lease.objects.get()
    assert (first.reservation, first.address, first.hostname) == (guest, guest.address, "lp0")
    record(host, said(guest))
    assert Lease.objects.get().seen_at > first.seen_at
    record(host, said(gone=(guest.mac,)))
    assert not Lease.objects.exists()
    record(host, said(guest))
    record(host, said(anew=True))
    assert not Lease.objects.exists()


def test_a_host_speaks_for_its_own_guests_alone(host: Host, guest: Reservation) -> None:
    other = Host.objects.create(name="other")
    record(other, said(guest, anew=True))
    assert not Lease.objects.exists()
    record(host, said(guest))
    record(other, said(anew=True, gone=(guest.mac,)))
    assert Lease.objects.count() == 1


@pytest.mark.parametrize(
    "wrong", [{"mac": "zz"}, {"address": "10.0.0.999"}, {"expires": -1}, {"hostname": "x" * 300}]
)
def test_what_cannot_be_true_is_refused(
    host: Host, guest: Reservation, wrong: dict[str, Any]
) -> None:
    payload = said(guest)
    payload["leases"][0] |= wrong
    with pytest.raises(Invalid):
        record(host, payload)
    assert not Lease.objects.exists()


def test_the_page_says_who_holds_what_and_what_it_will_be(
    actor: Actor, alice: User, client: Client, host: Host, network: Network, guest: Reservation
) -> None:
    client.force_login(alice)
    url = reverse("network", args=[network.uuid])
    assert "no guest has asked for an address" in client.get(url).text
    record(host, said(guest))
    change_reservation(actor, guest.uuid, address="10.60.0.50")
    page = client.get(url).text
    assert "will be 10.60.0.50" in page
    assert "lp0" in page
    Lease.objects.update(expires_at=timezone.now())
    assert "has run out" in client.get(url).text
