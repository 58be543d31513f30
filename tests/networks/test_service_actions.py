"""Names, ranges and leases of a network, and reservations that change."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from kvmweb.core.errors import Conflict, Invalid
from kvmweb.projects.actions import Actor
from kvmweb.projects.models import AuditEvent
from networks.actions import (
    add_forward,
    add_reservation,
    change_reservation,
    create_network,
    set_services,
)
from networks.models import Network, Reservation
from networks.spec_from_rows import build_spec
from tests.refusals import refused

pytestmark = [pytest.mark.db, pytest.mark.django_db]


@pytest.fixture
def guest(actor: Actor, network: Network) -> Reservation:
    return add_reservation(actor, network=network.uuid, name="printer")


def test_guests_are_in_the_networks_own_domain_until_another_is_chosen(
    actor: Actor, network: Network
) -> None:
    spec = build_spec(network)
    assert spec["names"] == {"domain": "home.internal", "upstreams": ()}
    assert spec["lease_seconds"] == 3600
    changed = set_services(
        actor,
        network.uuid,
        dns_domain="Office.Example.",
        dns_servers=["9.9.9.9", "2620:fe::fe", "9.9.9.9"],
        lease_minutes=10,
    )
    assert changed.generation == network.generation + 1
    spec = build_spec(changed)
    servers = ("9.9.9.9", "2620:fe::fe")
    assert spec["names"] == {"domain": "office.example", "upstreams": servers}
    assert spec["lease_seconds"] == 600
    assert AuditEvent.objects.filter(action="network.services").count() == 1


def test_what_is_not_named_stays(actor: Actor, network: Network) -> None:
    set_services(actor, network.uuid, dns_servers=["9.9.9.9"], lease_minutes=10)
    changed = set_services(actor, network.uuid, dns_domain="a.b")
    assert (changed.dns_servers, changed.lease_minutes) == (["9.9.9.9"], 10)
    assert set_services(actor, network.uuid, dns_domain="").domain == "home.internal"


@pytest.mark.parametrize(
    ("changes", "error", "field"),
    [
        ({"dns_domain": "-a.b"}, Invalid, "dns_domain"),
        ({"dns_domain": "a..b"}, Invalid, "dns_domain"),
        ({"dns_domain": ".".join(["a" * 60] * 4)}, Invalid, "dns_domain"),
        ({"dns_servers": ["localhost"]}, Invalid, "dns_servers"),
        ({"dns_servers": ["127.0.0.53"]}, Invalid, "dns_servers"),
        ({"dns_servers": ["::ffff:127.0.0.1"]}, Invalid, "dns_servers"),
        ({"dns_servers": ["169.254.169.254"]}, Invalid, "dns_servers"),
        ({"dns_servers": ["198.51.100.11"]}, Conflict, "dns_servers"),
        ({"dns_servers": ["10.60.0.1"]}, Conflict, "dns_servers"),
        ({"dns_servers": [f"9.9.9.{n}" for n in range(5)]}, Invalid, "dns_servers"),
        ({"max_down_mbit": 0}, Invalid, "max_down_mbit"),
        ({"max_up_mbit": 100_001}, Invalid, "max_up_mbit"),
        ({"lease_minutes": 1}, Invalid, "lease_minutes"),
        ({"range_first": "10.60.0.9"}, Invalid, "range_last"),
        ({"range_first": "10.60.0.9", "range_last": "10.60.0.8"}, Invalid, "range_last"),
        ({"range_first": "10.61.0.9", "range_last": "10.60.0.9"}, Invalid, "range_first"),
        ({"range_first": "10.60.0.9", "range_last": "10.60.0.255"}, Invalid, "range_last"),
    ],
)
def test_what_cannot_be_served_is_refused(
    actor: Actor, network: Network, changes: Any, error: type[Invalid | Conflict], field: str
) -> None:
    with refused(error, field):
        set_services(actor, network.uuid, **changes)


def test_a_server_in_anothers_network_is_refused_without_naming_it(
    actor: Actor, network: Network
) -> None:
    create_network(actor, name="secret", ipv4_subnet="10.70.0.0/24")
    with refused(Conflict, "dns_servers", code="server_unreachable"):
        set_services(actor, network.uuid, dns_servers=["10.70.0.9"])
    host = network.host
    host.facts["addresses"] = [{"address": "2001:db8::5", "prefix": 64, "interface": "up0"}]
    host.save(update_fields=["facts"])
    Network.objects.exclude(pk=network.pk).update(ipv6="nat66", ipv6_subnet="fd00:0:0:7::/64")
    Network.objects.filter(pk=network.pk).update(ipv6="nat66", ipv6_subnet="fd00:0:0:8::/64")
    for six in ("fd00:0:0:7::9", "fd00:0:0:8::1", "2001:db8::5"):
        with refused(Conflict, "dns_servers", code="server_unreachable"):
            set_services(actor, network.uuid, dns_servers=[six])
    own = set_services(actor, network.uuid, dns_servers=["10.60.0.9"])
    assert own.dns_servers == ["10.60.0.9"]


def test_addresses_are_picked_from_the_range_and_reserved_anywhere(
    actor: Actor, network: Network
) -> None:
    set_services(actor, network.uuid, range_first="10.60.0.100", range_last="10.60.0.101")
    picked = [add_reservation(actor, network=network.uuid, name=name) for name in ("a", "b")]
    assert [each.address for each in picked] == ["10.60.0.100", "10.60.0.101"]
    with refused(Conflict, "network", code="subnet_full"):
        add_reservation(actor, network=network.uuid, name="c")
    outside = add_reservation(actor, network=network.uuid, name="c", address="10.60.0.9")
    assert outside.address == "10.60.0.9"
    changed = set_services(actor, network.uuid, range_first="", range_last="")
    assert changed.range_first is None


def test_a_reservation_gets_another_name_and_address_and_keeps_its_forwards(
    actor: Actor, network: Network, guest: Reservation
) -> None:
    add_forward(actor, reservation=guest.uuid, target_port=80, public_port=8080)
    changed = change_reservation(actor, guest.uuid, name="scanner", address="10.60.0.50")
    assert (changed.mac, changed.port) == (guest.mac, guest.port)
    network.refresh_from_db()
    spec = build_spec(network)
    assert spec["reservations"][0]["hostname"] == "scanner"
    assert spec["forwards"][0]["address"] == "10.60.0.50"
    assert changed.since == network.generation


@pytest.mark.parametrize(
    ("changes", "error", "field"),
    [
        ({"name": "other"}, Conflict, "name"),
        ({"name": "UPPER case"}, Invalid, "name"),
        ({"address": "10.60.0.40"}, Conflict, "address"),
        ({"address": "10.60.0.1"}, Invalid, "address"),
        ({"address": "nowhere"}, Invalid, "address"),
        ({"max_up_mbit": -1}, Invalid, "max_up_mbit"),
    ],
)
def test_what_a_reservation_cannot_be_is_refused(
    actor: Actor,
    network: Network,
    guest: Reservation,
    changes: Any,
    error: type[Invalid | Conflict],
    field: str,
) -> None:
    add_reservation(actor, network=network.uuid, name="other", address="10.60.0.40")
    with refused(error, field):
        change_reservation(actor, guest.uuid, **changes)


def test_speeds_are_limited_and_let_go_again(
    actor: Actor, network: Network, guest: Reservation
) -> None:
    change_reservation(actor, guest.uuid, max_down_mbit=8)
    changed = set_services(actor, network.uuid, max_down_mbit=100, max_up_mbit=50)
    spec = build_spec(changed)
    assert (spec["max_down"], spec["max_up"]) == (12_500_000, 6_250_000)
    (reservation,) = spec["reservations"]
    assert (reservation["max_down"], reservation["max_up"]) == (1_000_000, 0)
    assert build_spec(set_services(actor, network.uuid, max_down_mbit=None))["max_down"] == 0


def test_the_page_shows_what_is_served_and_keeps_what_was_typed(
    actor: Actor, client: Client, network: Network
) -> None:
    client.force_login(actor.user)
    url = reverse("network-services", args=[network.uuid])
    typed = {"dns_domain": "a b", "dns_servers": "9.9.9.9, 1.1.1.1", "lease_minutes": "60"}
    answer = client.post(url, typed)
    assert answer.status_code == 400
    assert 'value="a b"' in answer.text
    assert client.post(url, {**typed, "dns_domain": "office"}).status_code == 302
    page = client.get(reverse("network", args=[network.uuid])).text
    assert "name.office" in page
    assert "9.9.9.9, 1.1.1.1" in page
