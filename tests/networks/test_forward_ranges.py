"""Ranges, blocks of ports picked in a row, 1:1 NAT, and guests that leave by their forward."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from kvmweb.core.errors import Conflict, Invalid
from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.projects.actions import Actor
from networks import ports
from networks.actions import (
    add_forward,
    add_reservation,
    change_forward,
    change_network,
    delete_forward,
)
from networks.models import Forward, Network, PortClaim, Reservation
from networks.spec_from_rows import build_spec
from tests.cast import FACTS, finish_job
from tests.refusals import refused

pytestmark = [pytest.mark.db, pytest.mark.django_db]


@pytest.fixture
def second(host: Host) -> PublicAddress:
    return PublicAddress.objects.create(host=host, address="198.51.100.12")


@pytest.fixture
def sibling(actor: Actor, network: Network) -> Reservation:
    return add_reservation(actor, network=network.uuid, name="web-2")


def spec_of(forward: Forward) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = build_spec(Network.objects.get(pk=forward.network_id))["forwards"]
    return [entry for entry in found if entry["id"] == str(forward.uuid)]


def test_a_range_is_one_forward_and_a_claim_per_port(
    actor: Actor, reservation: Reservation
) -> None:
    made = add_forward(
        actor, reservation=reservation.uuid, public_port=20100, ports=200, protocol="tcp+udp"
    )
    assert made.public_endpoint == "198.51.100.11:20100-20299"
    assert made.target_endpoint.endswith(":20100-20299")
    assert PortClaim.objects.filter(forward=made).count() == 400
    assert {(had.first_port, had.last_port) for had in made.holdings.all()} == {(20100, 20299)}
    assert [(e["public_port"], e["port"], e["ports"]) for e in spec_of(made)] == [
        (20100, 20100, 200)
    ] * 2
    with pytest.raises(Conflict, match="Port 20290 of "):
        add_forward(
            actor, reservation=reservation.uuid, public_port=20290, ports=20, target_port=80
        )
    shifted = change_forward(actor, made.uuid, target_port=9000)
    assert [(e["public_port"], e["port"]) for e in spec_of(shifted)] == [(20100, 9000)] * 2


def test_a_block_is_picked_in_a_row_around_what_is_taken(
    actor: Actor, reservation: Reservation
) -> None:
    Host.objects.update(reserved_ports=[20009])
    # web-1 holds 20022: 20000 to 20008, 20010 to 20021 and all from 20023 are free.
    expected = [(9, 20000), (12, 20010), (5, 20023), (100, 20028)]
    for count, first in expected:
        made = add_forward(actor, reservation=reservation.uuid, ports=count)
        assert (made.public_port, made.target_port, made.ports) == (first, first, count)
    shifted = add_forward(actor, reservation=reservation.uuid, ports=10, target_port=8000)
    assert (shifted.public_port, shifted.target_port) == (20128, 8000)
    with refused(Conflict, "public_port", code="ports_exhausted"):
        add_forward(actor, reservation=reservation.uuid, ports=9900)


@pytest.mark.parametrize(
    ("asked", "error", "field", "code"),
    [
        ({"public_port": 5400, "ports": 100}, Conflict, "public_port", "port_in_use"),
        ({"public_port": 7990, "ports": 100}, Conflict, "public_port", "port_reserved"),
        ({"public_port": 65500, "ports": 100}, Invalid, "public_port", "invalid"),
        ({"public_port": 9000, "ports": 0}, Invalid, "ports", "invalid"),
        ({"public_port": 9000, "ports": 65536}, Invalid, "ports", "invalid"),
        ({"ports": 10, "target_port": 65530}, Invalid, "target_port", "invalid"),
        ({"ports": 1025, "target_port": 80}, Invalid, "ports", "invalid"),
        ({"public_port": 9000}, Invalid, "target_port", "invalid"),
    ],
)
def test_an_impossible_range_is_refused_by_what_is_in_its_way(
    actor: Actor,
    reservation: Reservation,
    asked: Any,
    error: type[Conflict],
    field: str,
    code: str,
) -> None:
    with refused(error, field, code=code):
        add_forward(actor, reservation=reservation.uuid, **asked)


def test_a_range_over_ephemeral_ports_is_allowed_with_a_warning(
    public_address: PublicAddress,
) -> None:
    assert "Ports 32768–33001 lie" in ports.warning_for(public_address, 32000, 1002)
    assert "Port 32768 lies" in ports.warning_for(public_address, 32767, 2)
    assert ports.warning_for(public_address, 32000, 768) == ""


def test_picking_asks_once(
    actor: Actor, reservation: Reservation, public_address: PublicAddress
) -> None:
    add_forward(actor, reservation=reservation.uuid, public_port=23000, ports=2000)
    add_forward(actor, reservation=reservation.uuid, public_port=20050, ports=2900)
    with CaptureQueriesContext(
        connection,
    ) as asked:
        assert ports.pick(public_address, ["tcp"], 100) == 25000
    assert len(asked) == 1


def test_a_whole_address_is_a_guests_both_ways(
    actor: Actor, reservation: Reservation, second: PublicAddress
) -> None:
    made = add_forward(
        actor, reservation=reservation.uuid, protocol="all", public_address=second.uuid
    )
    assert (str(made), made.source_nat) == ("198.51.100.12 → web-1", True)
    had = made.holdings.get()
    assert (had.protocol, had.first_port, had.last_port) == ("any", 0, 65535)
    (entry,) = spec_of(made)
    assert (entry["protocol"], entry["public_port"], entry["source_nat"]) == ("all", 0, True)
    with refused(Conflict, "public_address", code="address_taken"):
        add_forward(actor, reservation=reservation.uuid, target_port=80, public_address=second.uuid)
    with refused(Conflict, "source_addresses", code="address_taken"):
        change_network(actor, reservation.network.uuid, source_addresses=["198.51.100.12"])
    with refused(Conflict, "mode", code="network_forwards"):
        change_network(actor, reservation.network.uuid, mode="routed", confirm=True)
    with refused(Invalid, "source_nat"):
        change_forward(actor, made.uuid, source_nat=False)
    with refused(Invalid, "target_port"):
        change_forward(actor, made.uuid, target_port=80)
    delete_forward(actor, made.uuid)
    finish_job(Network.objects.get(pk=made.network_id).job)
    add_forward(actor, reservation=reservation.uuid, target_port=80, public_address=second.uuid)
    with refused(Conflict, "public_address", code="address_taken"):
        add_forward(actor, reservation=reservation.uuid, protocol="all", public_address=second.uuid)


def test_an_address_that_others_need_is_nobodys_alone(
    actor: Actor,
    reservation: Reservation,
    public_address: PublicAddress,
    second: PublicAddress,
    host: Host,
) -> None:
    asked: dict[str, Any] = {"reservation": reservation.uuid, "protocol": "all"}
    with refused(Conflict, "public_address", code="default_address"):
        add_forward(actor, **asked)
    with refused(Invalid, "public_port"):
        add_forward(actor, **asked, public_address=second.uuid, public_port=80)
    listener = {"protocol": "tcp", "address": "198.51.100.12", "port": 53}
    Host.objects.update(facts={**FACTS, "listeners": [listener]})
    with refused(Conflict, "public_address", code="address_in_use"):
        add_forward(actor, **asked, public_address=second.uuid)
    Host.objects.update(facts=FACTS)
    network = reservation.network
    change_network(actor, network.uuid, source_addresses=["198.51.100.11", "198.51.100.12"])
    with refused(Conflict, "public_address", code="address_in_use"):
        add_forward(actor, **asked, public_address=second.uuid)


def test_a_guest_leaves_by_one_address(
    actor: Actor,
    forward: Forward,
    reservation: Reservation,
    second: PublicAddress,
    sibling: Reservation,
) -> None:
    change_forward(actor, forward.uuid, source_nat=True)
    assert [entry["source_nat"] for entry in spec_of(forward)] == [True]
    asked: dict[str, Any] = {"target_port": 80, "public_address": second.uuid}
    with refused(Conflict, "source_nat", code="second_source"):
        add_forward(actor, reservation=reservation.uuid, source_nat=True, **asked)
    other = add_forward(actor, reservation=sibling.uuid, source_nat=True, **asked)
    with refused(Conflict, "source_nat", code="second_source"):
        change_forward(actor, other.uuid, reservation=reservation.uuid)


def test_pages_make_and_show_ranges_and_whole_addresses(
    alice: User, client: Client, reservation: Reservation, second: PublicAddress
) -> None:
    client.force_login(alice)
    new = reverse("forward-new")
    sent = {"reservation": reservation.uuid, "protocol": "udp", "public_port": "21000"}
    assert client.post(new, sent | {"ports": "50", "target_port": ""}).status_code == 302
    whole_one = {"reservation": reservation.uuid, "protocol": "all", "target_port": "80"}
    answer = client.post(new, whole_one | {"public_address": second.uuid})
    assert answer.status_code == 302
    shown = client.get(reverse("forwards")).content.decode()
    assert "198.51.100.11:21000-21049" in shown
    assert "Everything (1:1)" in shown
    page = reverse("forward", args=[Forward.objects.get(protocol="all").uuid])
    assert 'name="target_port"' not in client.get(page).content.decode()
    assert client.post(page, {"note": "mail", "sources": ""}).status_code == 302
