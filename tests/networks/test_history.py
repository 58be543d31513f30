"""Who had a public address and port is known after everything it names is gone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from kvmweb.core.errors import Conflict
from kvmweb.hosts.models import PublicAddress
from kvmweb.projects.actions import Actor
from networks import history
from networks.actions import add_forward, delete_forward, delete_network
from networks.models import Forward, Holding, Network, PortClaim, Reservation
from tests.cast import finish_job
from tests.kvmweb.api.conftest import Program
from vms.actions import delete_vm
from vms.models import Vm

pytestmark = pytest.mark.db


def told(**asked: Any) -> list[tuple[str, str, bool]]:
    """Guest, ports, and whether it is still held."""
    rows = Holding.objects.filter(**asked).order_by("pk")
    return [(row.guest_name, row.ports, row.until is None) for row in rows]


def test_a_port_is_held_until_the_host_has_let_go(
    forward: Forward, network: Network, actor: Actor
) -> None:
    assert told(way="in") == [("web-1", "20022", True)]
    delete_forward(actor, forward.uuid)
    assert told(way="in") == [("web-1", "20022", True)]
    network.refresh_from_db()
    finish_job(network.job)
    assert told(way="in") == [("web-1", "20022", False)]
    (row,) = Holding.objects.filter(way="in")
    assert (row.forward, row.network) == (None, network)
    assert row.until
    assert row.since < row.until


def test_both_protocols_are_told_apart(actor: Actor, reservation: Reservation) -> None:
    made = add_forward(actor, reservation=reservation.uuid, target_port=53, protocol="tcp+udp")
    assert set(made.holdings.values_list("protocol", flat=True)) == {"tcp", "udp"}


def test_a_range_and_a_whole_address_are_held_as_such(
    forward: Forward, reservation: Reservation
) -> None:
    def claimed(*ports: int) -> list[tuple[str, str, bool]]:
        Holding.objects.filter(way="in").delete()
        forward.claims.all().delete()
        for port in ports:
            PortClaim.objects.create(
                public_address=forward.public_address, protocol="udp", port=port, forward=forward
            )
        history.began(forward)
        return told(way="in")

    assert claimed(*range(2000, 2100)) == [("web-1", "2000–2099", True)]
    assert claimed(0) == [("web-1", "all ports", True)]
    assert Holding.objects.get(way="in").protocol == "any"


def test_what_was_not_claimed_was_not_held(
    actor: Actor, forward: Forward, reservation: Reservation
) -> None:
    before = told()
    with pytest.raises(Conflict):
        add_forward(actor, reservation=reservation.uuid, target_port=1, public_port=20022)
    assert told() == before


def test_everything_it_names_may_go(
    vm: Vm, network: Network, actor: Actor, public_address: PublicAddress
) -> None:
    mac = vm.nics.get().reservation.mac
    delete_vm(actor, vm.uuid)
    vm.refresh_from_db()
    finish_job(vm.job)
    network.refresh_from_db()
    finish_job(network.job)
    delete_network(actor, network.uuid)
    network.refresh_from_db()
    finish_job(network.job)
    assert not Network.objects.exists()
    row = Holding.objects.get(way="in")
    assert (row.guest_name, row.guest_mac, row.guest_address) == ("web-1", mac, "10.60.0.2")
    assert (row.network_name, row.project_name) == ("home", "alice")
    assert (row.public_address, row.host_name) == ("198.51.100.11", "h1")
    assert not Holding.objects.open().exists()


def test_a_network_goes_out_by_an_address_from_when_the_host_applied_it(
    network: Network, host: Any
) -> None:
    assert told(way="out") == [("", "all ports", True)]
    other = PublicAddress.objects.create(host=host, address="198.51.100.12")
    history.goes_out(network, [other.address])
    rows = Holding.objects.filter(way="out").order_by("pk")
    assert [(row.public_address, row.until is None) for row in rows] == [
        ("198.51.100.11", False),
        ("198.51.100.12", True),
    ]
    history.goes_out(network, [other.address])
    assert Holding.objects.filter(way="out").count() == 2


def test_a_forward_that_moves_is_a_new_holding(forward: Forward, network: Network) -> None:
    forward.reservation = Reservation.objects.create(
        network=network, name="web-2", mac="52:54:00:00:00:99", address="10.60.0.99"
    )
    forward.save()
    history.moved(forward)
    assert told(way="in") == [("web-1", "20022", False), ("web-2", "20022", True)]


@pytest.fixture
def past(forward: Forward) -> Holding:
    """The port from ten to five days ago, when it was part of a range of somebody else's."""
    now = timezone.now()
    row = Holding.objects.get(way="in")
    row.pk, row.uuid = None, "00000000-0000-0000-0000-000000000001"
    row.guest_name, row.first_port, row.last_port = "old", 20000, 20100
    row.since, row.until = now - timedelta(days=10), now - timedelta(days=5)
    row.save()
    return row


@pytest.mark.parametrize(
    ("asked", "guests"),
    [
        ({"port": 20022}, {"web-1", "old", ""}),
        ({"port": 20022, "way": "in"}, {"web-1", "old"}),
        ({"port": 20050, "way": "in"}, {"old"}),
        ({"port": 20022, "protocol": "udp"}, {""}),
        ({"address": "198.51.100.99"}, set()),
        ({"way": "in", "days": 7}, {"old"}),
        ({"way": "in", "days": 20}, set()),
        ({"way": "in", "days": 0}, {"web-1"}),
    ],
    ids=lambda value: ",".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_it_is_found_by_address_port_protocol_and_time(
    past: Holding, olga: User, client: Client, asked: dict[str, Any], guests: set[str]
) -> None:
    query = dict(asked)
    if (days := query.pop("days", None)) is not None:
        query["at"] = (timezone.now() - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S")
    client.force_login(olga)
    page = client.get(reverse("who-had-it"), query)
    if days != 0:  # a second is too coarse for what was made just now
        assert {row.guest_name for row in page.context["page"]} == guests
    if "at" in query:
        query["at"] = (timezone.now() - timedelta(days=days or 0)).isoformat()
    answer = Program(olga).get("holdings/", **query)
    assert {row["guest_name"] for row in answer.data["results"]} == guests


def test_a_wrong_question_is_told_under_its_field(olga: User, client: Client) -> None:
    client.force_login(olga)
    page = client.get(reverse("who-had-it"), {"address": "nowhere", "port": "70000"})
    text = page.content.decode()
    assert "Enter a valid IPv4 or IPv6 address." in text
    assert "less than or equal to 65535" in text
