"""Changing a network while guests run: what it writes, what it refuses, and what it asks first."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from kvmweb.core.errors import Conflict, Invalid
from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.projects.actions import Actor
from kvmweb.projects.models import AuditEvent
from networks.actions import change_network, create_network, delete_forward, delete_host_name
from networks.models import Forward, HostName, Network
from networks.spec_from_rows import build_spec
from networks.ways import Rule
from tests.cast import finish_job
from tests.refusals import refused
from vms.models import Vm

pytestmark = [pytest.mark.db, pytest.mark.django_db]

WEB = {"cidr": "0.0.0.0/0", "protocol": "tcp", "ports": "80-443"}
OTHER = "198.51.100.12"


@pytest.fixture
def other_address(host: Host, public_address: PublicAddress) -> PublicAddress:
    return PublicAddress.objects.create(host=host, address=OTHER)


@pytest.fixture
def routed_host(host: Host) -> Host:
    host.routed_subnets = ["198.18.5.0/24"]
    host.save()
    return host


def test_what_is_changed_is_in_the_spec(
    actor: Actor, network: Network, other_address: PublicAddress
) -> None:
    change_network(
        actor,
        network.uuid,
        mtu=9000,
        guests_apart=True,
        source_addresses=[OTHER, "198.51.100.11"],
        egress_rules=[WEB, {"cidr": "9.9.9.9/32"}],
    )
    network.refresh_from_db()
    spec = build_spec(network)
    assert (spec["mtu"], spec["guests_apart"]) == (9000, True)
    assert spec["source_pool"] == ("198.51.100.11", OTHER)
    assert [(e["cidr"], e["first_port"], e["last_port"]) for e in spec["egress"]] == [
        ("0.0.0.0/0", 80, 443),
        ("9.9.9.9/32", 0, 0),
    ]
    event = AuditEvent.objects.get(action="network.change")
    assert event.data == {
        "mtu": [1500, 9000],
        "sources": [["198.51.100.11"], ["198.51.100.11", OTHER]],
        "guests_apart": [False, True],
        "rules": [None, ["0.0.0.0/0 tcp 80-443", "9.9.9.9/32 any"]],
    }


def test_one_source_is_no_pool_and_none_is_the_hosts_own(
    actor: Actor, network: Network, other_address: PublicAddress
) -> None:
    change_network(actor, network.uuid, source_addresses=[OTHER])
    network.refresh_from_db()
    assert (build_spec(network)["source_address"], network.pool.count()) == (OTHER, 0)
    change_network(actor, network.uuid, source_addresses=[])
    network.refresh_from_db()
    assert build_spec(network)["source_address"] is None


def test_a_change_of_nothing_asks_for_no_job(actor: Actor, network: Network) -> None:
    before = network.generation
    change_network(actor, network.uuid, name="home", mtu=1500, egress="allowed")
    network.refresh_from_db()
    assert network.generation == before
    assert not AuditEvent.objects.filter(action="network.change").exists()


def test_a_list_is_kept_until_it_is_dropped(actor: Actor, network: Network) -> None:
    change_network(actor, network.uuid, egress_rules=[WEB])
    change_network(actor, network.uuid, egress="listed", mtu=1400)
    assert [rule.ports for rule in network.egress_rules.all()] == ["80-443"]
    change_network(actor, network.uuid, egress="allowed")
    network.refresh_from_db()
    assert build_spec(network)["egress"] is None
    assert not network.egress_rules.exists()


def test_an_empty_list_is_nowhere(actor: Actor, network: Network) -> None:
    change_network(actor, network.uuid, egress="listed")
    network.refresh_from_db()
    assert build_spec(network)["egress"] == ()


def test_another_mode_brings_its_source_along(actor: Actor, network: Network) -> None:
    change_network(actor, network.uuid, mode="routed")
    network.refresh_from_db()
    assert build_spec(network)["source_address"] is None
    change_network(actor, network.uuid, mode="nat")
    network.refresh_from_db()
    assert build_spec(network)["source_address"] == "198.51.100.11"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"mode": "magic"}, "mode"),
    ({"mtu": 100}, "mtu"),
    ({"mtu": 20000}, "mtu"),
    ({"source_addresses": ["198.51.100.99"]}, "source_addresses"),
    ({"mode": "routed", "source_addresses": ["198.51.100.11"]}, "source_addresses"),
    ({"egress": "maybe"}, "egress"),
    ({"egress_rules": [{"cidr": "10.0.0.1/8"}]}, "egress_rules"),
    ({"egress_rules": [{"cidr": "everywhere"}]}, "egress_rules"),
    ({"egress_rules": [{"cidr": "fd00::1/8"}]}, "egress_rules"),
    ({"egress_rules": [{"cidr": "10.0.0.0/8", "protocol": "sctp"}]}, "egress_rules"),
    ({"egress_rules": [{"cidr": "10.0.0.0/8", "protocol": "icmp", "ports": "8"}]}, "egress_rules"),
    ({"egress_rules": [{"cidr": "10.0.0.0/8", "protocol": "tcp", "ports": "9-8"}]}, "egress_rules"),
    ({"egress_rules": [{"cidr": "10.0.0.0/8", "protocol": "tcp", "ports": "0"}]}, "egress_rules"),
    ({"egress_rules": [WEB | {"cidr": f"10.0.{n}.0/24"} for n in range(65)]}, "egress_rules"),
]


@pytest.mark.parametrize(("change", "field"), WRONG)
def test_what_makes_no_sense_is_refused(
    actor: Actor, network: Network, change: dict[str, Any], field: str
) -> None:
    with refused(Invalid, field):
        change_network(actor, network.uuid, **change)
    network.refresh_from_db()
    assert network.generation == 1


def test_a_network_with_forwards_is_not_isolated(
    actor: Actor, network: Network, forward: Forward
) -> None:
    with refused(Conflict, "mode", code="network_forwards"):
        change_network(actor, network.uuid, mode="isolated", confirm=True)
    delete_forward(actor, forward.uuid)
    assert change_network(actor, network.uuid, mode="isolated", confirm=True).mode == "isolated"


def test_a_network_with_host_names_is_not_isolated(
    actor: Actor, network: Network, forward: Forward, host_name: HostName
) -> None:
    delete_forward(actor, forward.uuid)
    with refused(Conflict, "mode", code="network_host_names"):
        change_network(actor, network.uuid, mode="isolated", confirm=True)
    delete_host_name(actor, host_name.uuid)
    assert change_network(actor, network.uuid, mode="isolated", confirm=True).mode == "isolated"


CUTS: list[dict[str, Any]] = [
    {"mode": "routed"},
    {"source_addresses": []},
    {"source_addresses": [OTHER]},
    {"egress_rules": [WEB]},
    {"guests_apart": True},
]
SPARES: list[dict[str, Any]] = [
    {"name": "office"},
    {"mtu": 9000},
    {"source_addresses": ["198.51.100.11", OTHER]},
]


@pytest.mark.parametrize("change", CUTS)
def test_what_running_guests_would_lose_is_said_before(
    actor: Actor, vm: Vm, network: Network, other_address: PublicAddress, change: dict[str, Any]
) -> None:
    with pytest.raises(Conflict) as caught:
        change_network(actor, network.uuid, **change)
    assert (caught.value.code, caught.value.field) == ("confirmation_needed", "confirm")
    assert caught.value.message.startswith("1 VM runs on this network. The")
    network.refresh_from_db()
    before = network.generation
    assert change_network(actor, network.uuid, confirm=True, **change).generation == before + 1


@pytest.mark.parametrize("change", SPARES)
def test_what_takes_nothing_needs_no_word(
    actor: Actor, vm: Vm, network: Network, other_address: PublicAddress, change: dict[str, Any]
) -> None:
    change_network(actor, network.uuid, **change)


def test_more_on_a_list_takes_nothing_and_less_does(actor: Actor, vm: Vm, network: Network) -> None:
    one, two = {"cidr": "9.9.9.9/32"}, {"cidr": "9.9.9.10/32"}
    change_network(actor, network.uuid, egress_rules=[one], confirm=True)
    change_network(actor, network.uuid, egress_rules=[one, two])
    with refused(Conflict, "confirm", code="confirmation_needed"):
        change_network(actor, network.uuid, egress_rules=[two])


def test_public_subnets_are_for_routed_networks_and_only_what_is_routed_here(
    actor: Actor, routed_host: Host, public_address: PublicAddress
) -> None:
    for mode, subnet in (("nat", "198.18.5.0/28"), ("routed", "8.8.8.0/24")):
        with refused(Invalid, "ipv4_subnet", code="invalid_subnet"):
            create_network(actor, name="public", mode=mode, ipv4_subnet=subnet)
    made = create_network(actor, name="public", mode="routed", ipv4_subnet="198.18.5.0/28")
    finish_job(made.job)
    assert (made.source_address, str(made.gateway)) == (None, "198.18.5.1")
    with refused(Conflict, "ipv4_subnet", code="subnet_overlaps"):
        create_network(actor, name="more", mode="routed", ipv4_subnet="198.18.5.0/27")


def test_a_subnet_with_a_public_address_in_it_is_refused(
    actor: Actor, host: Host, public_address: PublicAddress
) -> None:
    """A public address may stand on no interface of the host, so that no fact tells of it."""
    PublicAddress.objects.create(host=host, address="10.77.0.9")
    with refused(Conflict, "ipv4_subnet", code="subnet_overlaps"):
        create_network(actor, name="other", ipv4_subnet="10.77.0.0/24")


def test_what_is_routed_here_is_kept_for_routed_networks(actor: Actor, host: Host) -> None:
    host.routed_subnets = ["10.99.0.0/16"]
    host.save()
    with refused(Conflict, "ipv4_subnet", code="subnet_overlaps"):
        create_network(actor, name="private", ipv4_subnet="10.99.1.0/24")
    create_network(actor, name="routed", mode="routed", ipv4_subnet="10.99.1.0/24")


def test_the_page_asks_before_it_takes_something(
    alice: User, vm: Vm, network: Network, client: Client
) -> None:
    client.force_login(alice)
    address = reverse("network-settings", args=[network.uuid])
    wanted = {
        "name": "home",
        "mode": "nat",
        "source_addresses": "198.51.100.11",
        "egress": "listed",
        "egress_rules": "0.0.0.0/0 tcp 80-443\n\n9.9.9.9/32 udp 53",
        "mtu": "1500",
    }
    asked = client.post(address, wanted)
    assert asked.status_code == 409
    assert b"no longer listed end" in asked.content
    assert b'name="confirm"' in asked.content
    assert b"9.9.9.9/32 udp 53" in asked.content
    assert client.post(address, {**wanted, "confirm": "on"}).status_code == 302
    rules = [Rule(row.cidr, row.protocol, row.ports) for row in network.egress_rules.all()]
    assert rules == [Rule("0.0.0.0/0", "tcp", "80-443"), Rule("9.9.9.9/32", "udp", "53")]
    shown = client.get(reverse("network", args=[network.uuid])).content.decode()
    assert "Guests may go to 2 listed places only." in shown


def test_the_page_says_which_line_is_wrong(alice: User, network: Network, client: Client) -> None:
    client.force_login(alice)
    wanted = {"name": "home", "mode": "nat", "egress": "listed", "mtu": "1500"}
    answer = client.post(
        reverse("network-settings", args=[network.uuid]),
        {**wanted, "egress_rules": "0.0.0.0/0 tcp 80\n10.0.0.1/8"},
    )
    assert answer.status_code == 400
    assert "10.0.0.1/8 is an address inside 10.0.0.0/8." in answer.content.decode()


def test_the_form_of_a_new_network_names_what_is_routed_here(
    alice: User, routed_host: Host, client: Client
) -> None:
    client.force_login(alice)
    shown = client.get(reverse("network-new")).content.decode()
    assert "may also have a part of 198.18.5.0/24, which is public." in shown
