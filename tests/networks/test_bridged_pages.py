"""Every page and every answer about a bridged network: there, or refused with the reason."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern

import networks.urls
import vms.urls
from kvmweb.core.errors import Conflict, Invalid, Several
from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.projects.actions import Actor
from kvmweb.projects.models import AuditEvent
from networks.actions import (
    add_forwards,
    add_reservation,
    change_network,
    create_network,
    release_attachment,
)
from networks.flows import of_guest
from networks.models import Network
from networks.refused import is_filtered
from tests.cast import finish_job
from tests.kvmweb.api.conftest import Program
from tests.refusals import refused
from vms.actions import NewForward, NewNetwork, NewVm, create_vm
from vms.models import Image, Vm

pytestmark = [pytest.mark.db, pytest.mark.django_db]

UNSEEN = "no table of connections has it"


@pytest.fixture
def network(actor: Actor, olga: User, host: Host, public_address: PublicAddress) -> Network:
    host.facts |= {"attachables": [{"interface": "br0", "kind": "bridge", "refused": ""}]}
    host.save()
    bridge = release_attachment(Actor(olga), host=host.uuid, interface="br0", kind="bridge")
    made = create_network(actor, name="wire", mode="bridged", attachment=bridge.uuid)
    finish_job(made.job)
    made.refresh_from_db()
    return made


@pytest.fixture
def by_macvtap(network: Network, actor: Actor, olga: User, host: Host) -> Network:
    """Another one, on an uplink."""
    host.facts |= {"attachables": [{"interface": "eth1", "kind": "uplink", "refused": ""}]}
    host.save()
    uplink = release_attachment(Actor(olga), host=host.uuid, interface="eth1", kind="uplink")
    made = create_network(actor, name="tap", mode="bridged", attachment=uplink.uuid)
    finish_job(made.job)
    return made


@pytest.fixture
def vm(actor: Actor, image: Image, network: Network) -> Vm:
    return create_vm(actor, NewVm(name="v", network=network.uuid, image=image.uuid))


@pytest.fixture
def client(alice: User) -> Client:
    client = Client()
    client.force_login(alice)
    return client


def _paths(patterns: list[URLPattern], of: str) -> list[str]:
    routes = [str(pattern.pattern) for pattern in patterns]
    return [route for route in routes if route.startswith(f"{of}/<uuid:uuid>/")]


def test_every_page_is_there_or_says_why_not(
    client: Client, olga: User, network: Network, vm: Vm
) -> None:
    subjects = {
        "networks": (networks.urls.urlpatterns, network.uuid),
        "reservations": (networks.urls.urlpatterns, vm.reservations[0].uuid),
        "vms": (vms.urls.urlpatterns, vm.uuid),
    }
    seen = {}
    for of, (patterns, uuid) in subjects.items():
        for route in _paths(patterns, of):
            answer = client.get("/" + route.replace("<uuid:uuid>", str(uuid)))
            seen[route] = answer.status_code
            if answer.status_code == 409:
                assert "is bridged" in answer.content.decode(), route
    refused = {route for route, status in seen.items() if status == 409}
    assert refused == {
        f"networks/<uuid:uuid>/{page}/" for page in ("services", "ipv6", "peerings/new")
    }
    assert {route: status for route, status in seen.items() if status not in (200, 405, 409)} == {}
    assert len(seen) > 25
    for page in ("/networks/", "/vms/", "/forwards/new/"):
        assert client.get(page).status_code == 200, page
    client.force_login(olga)
    assert client.get("/who-had-it/?address=10.60.0.2").status_code == 200


def test_every_answer_is_there_or_says_why_not(alice: User, network: Network, vm: Vm) -> None:
    program = Program(alice)
    guest = vm.reservations[0]
    for path in (
        "networks/",
        "reservations/",
        "vms/",
        "holdings/",
        "drifts/",
        f"networks/{network.uuid}/",
        f"reservations/{guest.uuid}/",
        f"vms/{vm.uuid}/",
    ):
        assert program.get(path).status_code == 200, path
    for path in (f"networks/{network.uuid}/flows/", f"vms/{vm.uuid}/flows/"):
        answer = program.get(path)
        assert (answer.status_code, answer.data["code"]) == (409, "network_bridged"), path
        assert UNSEEN in str(answer.data), path
    for path in (f"reservations/{guest.uuid}/explain/", f"vms/{vm.uuid}/explain/"):
        assert program.get(path).data["code"] == "host_not_answering", "it is the host that knows"


def test_connections_are_an_empty_state_with_the_reason(
    client: Client, network: Network, vm: Vm
) -> None:
    for of in (f"/networks/{network.uuid}", f"/vms/{vm.uuid}"):
        for page in ("flows/", "flows/now/"):
            said = client.get(f"{of}/{page}").content.decode()
            assert UNSEEN in said
            assert "hx-get" not in said.partition('id="flows"')[2]
        before = AuditEvent.objects.count()
        assert client.post(f"{of}/flows/end/").status_code == 409
        assert AuditEvent.objects.count() == before


def test_what_is_said_of_it_is_what_it_is(
    client: Client, olga: User, actor: Actor, network: Network, vm: Vm
) -> None:
    page = f"/networks/{network.uuid}/"
    assert "forwards of single ports" not in client.get(page).content.decode()
    change_network(actor, network.uuid, guarded=False)
    said = client.get(page).content.decode()
    assert "All guests are open" in said
    assert "guests are closed" not in said
    assert "by forwards" not in client.get(f"{page}settings/").content.decode()
    client.force_login(olga)
    host = client.get(f"/hosts/{network.host.uuid}/").content.decode()
    assert network.bridge not in host
    assert host.count("from outside") == 2


def test_its_vm_offers_no_way_in_and_says_why(client: Client, vm: Vm) -> None:
    said = client.get(f"/vms/{vm.uuid}/").content.decode()
    assert "none can be made" in said
    for offered in ("new-forward", "Its connections", "/host-names/new/"):
        assert offered not in said


def test_of_a_vm_in_both_what_passes_the_host_is_told(actor: Actor, vm: Vm) -> None:
    home = create_network(actor, name="home")
    inside = add_reservation(actor, network=home.uuid, name="inside")
    of = of_guest(vm, Vm.kind, [*vm.reservations, inside])
    assert of.unseen is None
    assert of.guests == ((home, (str(inside.uuid),)),)


def test_what_was_refused_is_told_of_a_bridge_and_refused_by_macvtap(
    alice: User, client: Client, actor: Actor, vm: Vm, network: Network, by_macvtap: Network
) -> None:
    inside = add_reservation(actor, network=by_macvtap.uuid, name="inside")
    of = of_guest(vm, Vm.kind, [inside, *vm.reservations], is_filtered)
    assert of.guests == ((network, (str(vm.reservations[0].uuid),)),)
    assert of_guest(vm, Vm.kind, [inside], is_filtered).network == by_macvtap
    program = Program(alice)
    assert program.get(f"networks/{network.uuid}/refused/").data["logs"] is False
    answer = program.get(f"networks/{by_macvtap.uuid}/refused/")
    assert (answer.status_code, answer.data["code"]) == (409, "not_filtered")
    for page in ("refused/", "refused/now/"):
        said = client.get(f"/networks/{by_macvtap.uuid}/{page}").content.decode()
        assert "passes the host by" in said
        assert 'id="refused"' not in said
    for page in (f"networks/{by_macvtap.uuid}", f"reservations/{inside.uuid}"):
        shut = client.get(f"/{page}/firewall/")
        assert (shut.status_code, b"passes the host by" in shut.content) == (409, True)


def test_a_bridged_network_is_nobodys_peer(
    alice: User, client: Client, actor: Actor, network: Network
) -> None:
    home = create_network(actor, name="home")
    ends = {"network": network.uuid, "peer": home.uuid}
    for field, body in (
        ("network", ends),
        ("peer", {"network": home.uuid, "peer": network.uuid}),
    ):
        answer = Program(alice).post("peerings/", {key: str(each) for key, each in body.items()})
        said = answer.data
        assert (answer.status_code, said["field"], said["code"]) == (409, field, "network_bridged")
    page = client.get(f"/networks/{home.uuid}/peerings/new/").content.decode()
    assert "There is no other network" in page
    posted = client.post(f"/networks/{network.uuid}/peerings/new/", {"peer": str(home.uuid)})
    assert (posted.status_code, b"is bridged" in posted.content) == (409, True)


def test_ways_in_are_refused_by_every_door(
    actor: Actor, image: Image, network: Network, vm: Vm
) -> None:
    guest, port = vm.reservations[0], NewForward(target_port=22)
    with pytest.raises(Several) as several:
        add_forwards(actor, [{"reservation": guest.uuid, "target_port": 22}])
    (told,) = several.value.errors
    assert (told.field, told.code) == ("forwards.0.reservation", "network_bridged")
    with refused(Conflict, "forwards.0", code="network_bridged"):
        create_vm(actor, NewVm(name="w", network=network.uuid, image=image.uuid, forwards=[port]))
    unplaced = NewNetwork(name="x", mode="bridged")
    with refused(Invalid, "network.mode"):
        create_vm(actor, NewVm(name="w", network=unplaced, image=image.uuid))
    assert Vm.objects.count() == 1
