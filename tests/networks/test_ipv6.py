"""IPv6 of networks: what is picked, written and refused, and what forwards make of it."""

from __future__ import annotations

from ipaddress import IPv6Network
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from kvmweb.core.errors import Conflict, Invalid
from kvmweb.core.ipv6 import interface_address
from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.projects.actions import Actor
from networks import prefixes
from networks.actions import (
    add_forward,
    change_network,
    create_network,
    delete_network,
    set_ipv6,
)
from networks.models import Network, Reservation
from networks.spec_from_rows import build_spec
from tests.cast import finish_job
from tests.refusals import refused
from vms.models import Vm
from vms.spec_from_rows import build_spec as vm_spec

pytestmark = [pytest.mark.db, pytest.mark.django_db]

PUBLIC6 = "2001:db8::10"


@pytest.fixture
def public6(host: Host) -> PublicAddress:
    return PublicAddress.objects.create(host=host, address=PUBLIC6)


@pytest.fixture
def host(host: Host) -> Host:
    host.local_prefix6 = "fd12:3456:789a::/48"
    host.routed_prefixes6 = ["2001:db8:0:60::/60"]
    host.save()
    return host


def test_a_network_gets_a_free_private_subnet_and_its_guests_their_addresses(
    actor: Actor, network: Network, reservation: Reservation, public6: PublicAddress
) -> None:
    assert set_ipv6(actor, network.uuid, ipv6="nat66").ipv6_subnet == "fd12:3456:789a:1::/64"
    network.refresh_from_db()
    spec = build_spec(network)
    assert (spec["ipv6"], spec["subnet6"]) == ("nat66", "fd12:3456:789a:1::/64")
    assert (spec["gateway6"], spec["source_address6"]) == ("fd12:3456:789a:1::1", PUBLIC6)
    reservation.refresh_from_db()
    expected = interface_address(IPv6Network("fd12:3456:789a:1::/64"), reservation.mac)
    assert spec["reservations"][0]["address6"] == reservation.address6 == str(expected)


def test_the_next_network_gets_the_next_one_and_a_routed_one_of_what_is_routed(
    actor: Actor, network: Network
) -> None:
    set_ipv6(actor, network.uuid, ipv6="nat66")
    other = create_network(actor, name="other", ipv6="nat66")
    assert other.ipv6_subnet == "fd12:3456:789a:2::/64"
    routed = create_network(actor, name="routed", ipv6="routed")
    assert routed.ipv6_subnet == "2001:db8:0:61::/64"
    assert routed.source_address6 is None


def test_doing_it_again_asks_for_no_job(actor: Actor, network: Network) -> None:
    set_ipv6(actor, network.uuid, ipv6="nat66")
    before = Network.objects.get(pk=network.pk).generation
    assert set_ipv6(actor, network.uuid, ipv6="nat66").generation == before


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"ipv6": "both"}, "ipv6"),
        ({"ipv6": "nat66", "ipv6_subnet": "fd00::/48"}, "ipv6_subnet"),
        ({"ipv6": "nat66", "ipv6_subnet": "fd00::1/64"}, "ipv6_subnet"),
        ({"ipv6": "nat66", "ipv6_subnet": "10.0.0.0/24"}, "ipv6_subnet"),
        ({"ipv6": "nat66", "ipv6_subnet": "2001:db8:0:60::/64"}, "ipv6_subnet"),
        ({"ipv6": "routed", "ipv6_subnet": "2001:db8:0:70::/64"}, "ipv6_subnet"),
        ({"ipv6": "nat66", "source_address6": "2001:db8::99"}, "source_address6"),
    ],
)
def test_what_makes_no_sense_is_refused(
    actor: Actor, network: Network, wanted: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as error:
        set_ipv6(actor, network.uuid, **wanted)
    assert error.value.field == field
    assert Network.objects.get(pk=network.pk).ipv6 == "off"


def test_no_two_networks_of_a_host_share_a_subnet(
    actor: Actor, network: Network, host: Host
) -> None:
    made = set_ipv6(actor, network.uuid, ipv6="nat66")
    other = create_network(actor, name="other")
    with pytest.raises(Conflict) as error:
        set_ipv6(actor, other.uuid, ipv6="nat66", ipv6_subnet=made.ipv6_subnet)
    assert error.value.code == "subnet_overlaps"
    with pytest.raises(IntegrityError):
        Network.objects.filter(pk=other.pk).update(ipv6_subnet=made.ipv6_subnet)


def test_what_the_host_holds_itself_is_left_to_it(
    actor: Actor, network: Network, host: Host
) -> None:
    host.facts = {
        "routes": ["fd12:3456:789a::/48", "2001:db8:0:60::/60", "2001:db8:0:61::/64"],
        "addresses": [{"address": "2001:db8:0:62::1", "prefix": 64, "interface": "up0"}],
    }
    host.save()
    assert set_ipv6(actor, network.uuid, ipv6="routed").ipv6_subnet == "2001:db8:0:63::/64"
    with pytest.raises(Conflict) as error:
        set_ipv6(actor, network.uuid, ipv6="nat66")
    assert error.value.code == "no_prefix"


def test_ipv6_needs_its_mtu(actor: Actor, network: Network) -> None:
    change_network(actor, network.uuid, mtu=1000)
    with pytest.raises(Invalid):
        set_ipv6(actor, network.uuid, ipv6="nat66")
    change_network(actor, network.uuid, mtu=1400)
    set_ipv6(actor, network.uuid, ipv6="nat66")
    with refused(Conflict, "mtu", code="mtu_too_small"):
        change_network(actor, network.uuid, mtu=1000)


def test_a_forward_leads_to_the_address_of_its_family(
    actor: Actor, network: Network, reservation: Reservation, public6: PublicAddress
) -> None:
    def forward() -> Any:
        return add_forward(
            actor, reservation=reservation.uuid, target_port=80, public_address=public6.uuid
        )

    with refused(Conflict, "public_address", code="network_without_ipv6"):
        forward()
    set_ipv6(actor, network.uuid, ipv6="nat66")
    made = forward()
    made.refresh_from_db()
    assert made.public_endpoint == f"[{PUBLIC6}]:20000"
    spec = build_spec(Network.objects.get(pk=network.pk))
    reservation = Reservation.objects.get(pk=reservation.pk)
    led = [(f["public_address"], f["address"]) for f in spec["forwards"]]
    assert led[-1] == (PUBLIC6, reservation.address6)
    with refused(Conflict, "ipv6", code="network_forwards"):
        set_ipv6(actor, network.uuid, ipv6="off")


def test_a_port_that_only_ipv4_answers_is_free_on_ipv6(
    actor: Actor, network: Network, reservation: Reservation, public6: PublicAddress, host: Host
) -> None:
    host.facts = {
        "listeners": [
            {"protocol": "tcp", "address": "0.0.0.0", "port": 8080},  # noqa: S104
            {"protocol": "tcp", "address": "::", "port": 8081},
        ]
    }
    host.save()
    set_ipv6(actor, network.uuid, ipv6="nat66")

    def forward(port: int) -> Any:
        return add_forward(
            actor,
            reservation=reservation.uuid,
            target_port=80,
            public_address=public6.uuid,
            public_port=port,
        )

    assert forward(8080)
    with refused(Conflict, "public_port", code="port_in_use"):
        forward(8081)


def test_sources_are_of_the_family_of_the_forward(
    actor: Actor, network: Network, reservation: Reservation, public6: PublicAddress
) -> None:
    set_ipv6(actor, network.uuid, ipv6="nat66")

    def forward(source: str) -> Any:
        return add_forward(
            actor,
            reservation=reservation.uuid,
            target_port=80,
            public_address=public6.uuid,
            sources=[source],
        )

    assert forward("2001:db8:1::7").sources == ["2001:db8:1::7/128"]
    with refused(Invalid, "sources"):
        forward("198.51.100.7")


def test_a_list_of_ways_out_may_have_both_families(actor: Actor, network: Network) -> None:
    rules = [{"cidr": "2001:db8::/32", "protocol": "icmp"}, {"cidr": "0.0.0.0/0"}]
    change_network(actor, network.uuid, egress_rules=rules)
    network.refresh_from_db()
    assert [rule["cidr"] for rule in build_spec(network)["egress"]] == [
        "2001:db8::/32",
        "0.0.0.0/0",
    ]


def test_a_seed_tells_guests_of_ipv6_once_their_network_has_it(
    actor: Actor, vm: Vm, network: Network
) -> None:
    assert vm_spec(vm)["seed"]["macs"] == ()
    set_ipv6(actor, network.uuid, ipv6="nat66")
    assert vm_spec(vm)["seed"]["macs"] == (vm.reservations[0].mac,)


def test_running_guests_lose_nothing_unasked(actor: Actor, vm: Vm, network: Network) -> None:
    set_ipv6(actor, network.uuid, ipv6="nat66")
    Vm.objects.filter(pk=vm.pk).update(power_state="running")

    def off(**more: Any) -> Network:
        return set_ipv6(actor, network.uuid, ipv6="off", **more)

    with refused(Conflict, "confirm", code="confirmation_needed"):
        off()
    assert off(confirm=True).ipv6_subnet == ""


def test_a_subnet_is_free_once_its_network_is_gone(actor: Actor, network: Network) -> None:
    made = create_network(actor, name="other", ipv6="nat66")
    finish_job(made.job)
    deleted = delete_network(actor, made.uuid)
    finish_job(deleted.job)
    assert set_ipv6(actor, network.uuid, ipv6="nat66").ipv6_subnet == made.ipv6_subnet


def test_only_an_ipv4_address_is_the_default_one(host: Host) -> None:
    address = PublicAddress(host=host, address=PUBLIC6, is_default=True)
    with pytest.raises(ValidationError, match="Only an IPv4 address"):
        address.full_clean()
    with pytest.raises(IntegrityError):
        address.save()


def test_the_page_asks_and_then_does_it(
    alice: User, client: Client, actor: Actor, vm: Vm, network: Network, public6: PublicAddress
) -> None:
    client.force_login(alice)
    page = reverse("network-ipv6", args=[network.uuid])
    assert PUBLIC6 in client.get(page).content.decode()
    client.post(page, {"ipv6": "nat66", "source_address6": PUBLIC6})
    network.refresh_from_db()
    assert network.source_address6 == public6
    assert (
        "fd12:3456:789a:1:" in client.get(reverse("network", args=[network.uuid])).content.decode()
    )
    Vm.objects.filter(pk=vm.pk).update(power_state="running")
    answer = client.post(page, {"ipv6": "off"})
    assert answer.status_code == 409
    assert "open IPv6 connections end" in answer.content.decode()
    client.post(page, {"ipv6": "off", "confirm": "on"})
    network.refresh_from_db()
    assert network.ipv6 == "off"


SUBNETS = st.integers(1, 40).map(lambda number: IPv6Network((0xFD << 120 | number << 64, 64)))


@pytest.mark.pure
@given(st.lists(SUBNETS, max_size=30))
def test_a_proposed_subnet_is_free_and_the_first_that_is(taken: list[IPv6Network]) -> None:
    found = prefixes.propose([IPv6Network("fd00::/48")], [(each, "") for each in taken])
    assert found not in taken
    number = int(found.network_address) >> 64 & 0xFFFF
    assert all(IPv6Network((0xFD << 120 | n << 64, 64)) in taken for n in range(1, number))
