"""Networks on an interface of the host: who may, what they have, and what is refused why."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import User
from django.test import Client

from kvmweb.core.access import get_for
from kvmweb.core.errors import Conflict, Invalid, NotFound
from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.projects.actions import Actor
from networks.actions import (
    add_forward,
    add_host_name,
    add_reservation,
    apply_to_network,
    ask_peering,
    change_network,
    change_reservation,
    create_network,
    create_rule_set,
    delete_network,
    release_attachment,
    set_ipv6,
    set_services,
    withdraw_attachment,
)
from networks.host.attachable import Interface, attachables
from networks.host.spec import NetworkSpec
from networks.inbound import RuleText
from networks.models import Attachment, Network
from networks.spec_from_rows import build_spec
from tests.cast import finish_job
from tests.refusals import refused
from vms.actions import NewVm, create_vm
from vms.models import Image
from vms.spec_from_rows import build_spec as build_vm_spec

pytestmark = [pytest.mark.db, pytest.mark.django_db]


@pytest.fixture
def bridge(olga: User, host: Host) -> Attachment:
    return _released(olga, host, "br0", "bridge")


@pytest.fixture
def uplink(olga: User, host: Host) -> Attachment:
    return _released(olga, host, "eth1", "uplink")


def _released(olga: User, host: Host, interface: str, kind: str) -> Attachment:
    host.facts = {
        **host.facts,
        "attachables": [
            {"interface": "br0", "kind": "bridge", "refused": ""},
            {"interface": "docker0", "kind": "bridge", "refused": "Docker's containers are there"},
            {"interface": "eth1", "kind": "uplink", "refused": ""},
        ],
    }
    host.save()
    return release_attachment(Actor(olga), host=host.uuid, interface=interface, kind=kind)


@pytest.fixture
def bridged(actor: Actor, public_address: PublicAddress, bridge: Attachment) -> Network:
    return _made(actor, bridge)


def _made(actor: Actor, attachment: Attachment, name: str = "wire", **more: Any) -> Network:
    made = create_network(actor, name=name, mode="bridged", attachment=attachment.uuid, **more)
    finish_job(made.job)
    made.refresh_from_db()
    return made


def _spec(network: Network) -> NetworkSpec:
    return msgspec.convert(build_spec(network), NetworkSpec)


def test_operators_release_what_the_host_reports_and_tenants_do_not(
    olga: User, alice: User, host: Host, bridge: Attachment
) -> None:
    with refused(Invalid, "host"):
        release_attachment(Actor(alice), host=host.uuid, interface="eth1", kind="uplink")
    with refused(Conflict, "interface", code="not_for_guests"):
        release_attachment(Actor(olga), host=host.uuid, interface="docker0", kind="bridge")
    with refused(Invalid, "interface", code="no_such_interface"):
        release_attachment(Actor(olga), host=host.uuid, interface="br9", kind="bridge")
    with refused(Conflict, "interface", code="released_already"):
        release_attachment(Actor(olga), host=host.uuid, interface="br0", kind="bridge")
    assert get_for(alice, Attachment, bridge.uuid) == bridge
    withdraw_attachment(Actor(olga), bridge.uuid)
    with pytest.raises(NotFound):
        get_for(alice, Attachment, bridge.uuid)


def test_a_bridged_network_is_its_attachment_alone(
    actor: Actor, olga: User, bridged: Network, bridge: Attachment
) -> None:
    spec = _spec(bridged)
    assert (spec.mode, spec.attach, spec.attached_to) == ("bridged", "br0", "bridge")
    assert (spec.subnet, spec.gateway, spec.names, spec.guarded) == ("", "", None, True)
    other = create_network(actor, name="home")
    assert other.ipv4_subnet, "it takes no subnet from others"
    with refused(Conflict, "", code="attachment_in_use"):
        withdraw_attachment(Actor(olga), bridge.uuid)
    delete_network(actor, bridged.uuid)
    bridged.refresh_from_db()
    finish_job(bridged.job)
    withdraw_attachment(Actor(olga), bridge.uuid)


def test_reservations_are_a_mac_and_a_name(actor: Actor, olga: User, bridged: Network) -> None:
    wanted: dict[str, Any] = {"network": bridged.uuid, "name": "two", "mac": "52:54:00:aa:bb:cc"}
    first = add_reservation(actor, network=bridged.uuid, name="one")
    with refused(Invalid, "mac", code="mac_not_free_to_choose"):
        add_reservation(actor, **wanted)
    second = add_reservation(Actor(olga), **wanted)
    assert (first.address, second.address) == (None, None)
    assert str(second) == "two 52:54:00:aa:bb:cc"
    with refused(Conflict, "address", code="network_bridged"):
        add_reservation(actor, network=bridged.uuid, name="three", address="10.0.0.5")
    with refused(Conflict, "address", code="network_bridged"):
        change_reservation(actor, first.uuid, address="10.0.0.5")
    assert change_reservation(actor, first.uuid, name="uno", max_down_mbit=10).max_down_mbit == 10
    assert {each.address for each in _spec(bridged).reservations} == {""}


def test_what_belongs_to_networks_of_ours_is_refused_with_its_field(
    actor: Actor, bridged: Network
) -> None:
    guest = add_reservation(actor, network=bridged.uuid, name="one")
    home = create_network(actor, name="home")
    with refused(Conflict, "reservation", code="network_bridged"):
        add_forward(actor, reservation=guest.uuid, target_port=22)
    with refused(Conflict, "reservation", code="network_bridged"):
        add_host_name(actor, reservation=guest.uuid, name="www.example.org")
    with refused(Conflict, "ipv6", code="network_bridged"):
        set_ipv6(actor, bridged.uuid, ipv6="nat66")
    with refused(Conflict, "peer", code="network_bridged"):
        ask_peering(actor, network=home.uuid, peer=bridged.uuid)
    for field, value in (
        ("dns_domain", "x.internal"),
        ("range_first", "10.0.0.1"),
        ("lease_minutes", 30),
        ("max_down_mbit", 5),
    ):
        with refused(Conflict, field, code="network_bridged"):
            set_services(actor, bridged.uuid, **{field: value})  # type: ignore[arg-type]
    with refused(Conflict, "mtu", code="network_bridged"):
        change_network(actor, bridged.uuid, mtu=1400)
    with refused(Conflict, "egress", code="network_bridged"):
        change_network(actor, bridged.uuid, egress="listed")
    with refused(Invalid, "source_addresses"):
        change_network(actor, bridged.uuid, source_addresses=["198.51.100.11"])
    with refused(Conflict, "mode", code="mode_is_fixed"):
        change_network(actor, bridged.uuid, mode="nat")
    with refused(Conflict, "mode", code="mode_is_fixed"):
        change_network(actor, home.uuid, mode="bridged")
    with refused(Conflict, "guarded", code="not_bridged"):
        change_network(actor, home.uuid, guarded=False)
    assert change_network(actor, bridged.uuid, guarded=False, guests_apart=True).guests_apart


def test_a_new_one_needs_a_released_interface_and_nothing_else(
    actor: Actor, bridge: Attachment, public_address: PublicAddress
) -> None:
    def create(**more: Any) -> Network:
        return create_network(actor, name="x", **{"mode": "bridged", **more})

    for field, more in (
        ("attachment", {}),
        ("attachment", {"attachment": public_address.uuid}),
        ("attachment", {"attachment": bridge.uuid, "mode": "nat"}),
        ("guarded", {"guarded": True, "mode": "nat"}),
        ("ipv4_subnet", {"attachment": bridge.uuid, "ipv4_subnet": "10.9.0.0/24"}),
        ("source_addresses", {"attachment": bridge.uuid, "source_addresses": ["198.51.100.11"]}),
    ):
        with refused(Invalid, field):
            create(**more)
    for field, more in (
        ("mtu", {"attachment": bridge.uuid, "mtu": 1400}),
        ("ipv6", {"attachment": bridge.uuid, "ipv6": "nat66"}),
    ):
        with refused(Conflict, field, code="network_bridged"):
            create(**more)
    assert Network.objects.count() == 0


def test_by_macvtap_nothing_is_filtered_or_limited(
    actor: Actor, uplink: Attachment, public_address: PublicAddress
) -> None:
    with refused(Invalid, "guarded"):
        create_network(actor, name="x", mode="bridged", attachment=uplink.uuid, guarded=True)
    for option in ("logs_refused", "guests_apart"):
        with refused(Conflict, option, code="not_filtered"):
            _made(actor, uplink, "x", **{option: True})
    network = _made(actor, uplink)
    assert not network.guarded
    guest = add_reservation(actor, network=network.uuid, name="one")
    rules = create_rule_set(actor, name="web", rules=[RuleText("tcp", "80")])
    with refused(Conflict, "rule_sets", code="not_filtered"):
        apply_to_network(actor, network.uuid, rule_sets=[rules.uuid])
    for field in ("guarded", "guests_apart"):
        with refused(Conflict, field, code="not_filtered"):
            change_network(actor, network.uuid, **{field: True})  # type: ignore[arg-type]
    with refused(Conflict, "max_up_mbit", code="not_filtered"):
        change_reservation(actor, guest.uuid, max_up_mbit=5)


def test_rules_open_guests_of_a_bridge(actor: Actor, bridged: Network) -> None:
    rules = create_rule_set(actor, name="web", rules=[RuleText("tcp", "80")])
    apply_to_network(actor, bridged.uuid, rule_sets=[rules.uuid])
    assert {(each.protocol, each.first_port) for each in _spec(bridged).inbound} == {("tcp", 80)}


def test_vms_are_on_the_bridge_or_the_uplink(
    actor: Actor,
    image: Image,
    bridged: Network,
    uplink: Attachment,
) -> None:
    by_macvtap = _made(actor, uplink, "tap")
    nics = {}
    for network in (bridged, by_macvtap):
        vm = create_vm(actor, NewVm(name=network.name, network=network.uuid, image=image.uuid))
        assert vm.address == ""
        (nic,) = build_vm_spec(vm)["nics"]
        nics[network.name] = (nic["bridge"], nic["uplink"])
    assert nics == {"wire": ("br0", ""), "tap": ("", "eth1")}


def test_its_pages_are_there(
    alice: User, olga: User, actor: Actor, image: Image, bridged: Network, host: Host
) -> None:
    vm = create_vm(actor, NewVm(name="v", network=bridged.uuid, image=image.uuid))
    guest = vm.reservations[0]
    client = Client()
    client.force_login(alice)
    for page in (
        "/networks/",
        "/networks/new/",
        f"/networks/{bridged.uuid}/",
        f"/networks/{bridged.uuid}/settings/",
        f"/networks/{bridged.uuid}/delete/",
        f"/networks/{bridged.uuid}/firewall/",
        f"/reservations/{guest.uuid}/",
        f"/reservations/{guest.uuid}/firewall/",
        f"/reservations/{guest.uuid}/why/",
        f"/vms/{vm.uuid}/",
        "/vms/new/",
        "/vms/",
        "/",
        "/forwards/new/",
        "/search/?q=wire",
    ):
        assert client.get(page).status_code == 200, page
    for page in ("services", "ipv6"):
        assert client.get(f"/networks/{bridged.uuid}/{page}/").status_code == 409
    assert b"br0" in client.get(f"/networks/{bridged.uuid}/").content
    client.force_login(olga)
    assert b"docker0" in client.get(f"/hosts/{host.uuid}/").content


def test_only_wires_of_others_are_offered() -> None:
    found = attachables(
        [
            Interface(name="lo", kind="", loopback=True),
            Interface(name="eth0", kind="", enslaved=True),
            Interface(name="eth1", kind=""),
            Interface(name="br0", kind="bridge"),
            Interface(name="virbr0", kind="bridge"),
            Interface(name="docker0", kind="bridge"),
            Interface(name="kw1", kind="bridge"),
            Interface(name="kt1", kind="tun"),
            Interface(name="veth3", kind="veth"),
            Interface(name="up0", kind="veth"),
        ],
        ["up0"],
    )
    assert [(each.interface, each.kind, bool(each.refused)) for each in found] == [
        ("br0", "bridge", False),
        ("docker0", "bridge", True),
        ("eth1", "uplink", False),
        ("up0", "uplink", False),
        ("virbr0", "bridge", True),
    ]
