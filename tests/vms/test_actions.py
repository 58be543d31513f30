"""What people ask of VMs, and every way in which it is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from kvmweb.core.errors import Conflict, Forbidden, Invalid, NotFound
from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.jobs.models import Job, Status
from kvmweb.projects.actions import Actor, create_project
from kvmweb.projects.models import AuditEvent, Project
from networks.actions import change_reservation, delete_network
from networks.models import Forward, Network, PortClaim, Reservation
from tests.cast import FACTS, finish_job, missing
from tests.refusals import refused
from vms.actions import (
    MOST_FORWARDS,
    NewForward,
    NewNetwork,
    NewVm,
    change_vm,
    create_vm,
    delete_vm,
    repair_vm,
    set_power,
    what_goes,
)
from vms.models import Image, Vm
from vms.spec_from_rows import build_spec

pytestmark = [pytest.mark.db, pytest.mark.django_db]


@pytest.fixture
def wanted(network: Network, image: Image) -> NewVm:
    return NewVm(name="db-1", network=network.uuid, image=image.uuid)


def test_vm_network_and_forward_come_in_one_go(
    actor: Actor, project: Project, public_address: PublicAddress, image: Image
) -> None:
    vm = create_vm(
        actor,
        NewVm(
            name="web-1",
            network=NewNetwork(name="home", ipv4_subnet="10.60.0.0/24"),
            image=image.name,
            memory_mib=256,
            vcpus=2,
            forwards=[NewForward(target_port=80), NewForward(target_port=22, public_port=2222)],
            project=project.uuid,
        ),
    )
    network = Network.objects.get()
    assert (network.name, network.generation, vm.generation) == ("home", 1, 1)
    assert vm.address == "10.60.0.2"
    assert sorted(Forward.objects.values_list("public_port", "target_port")) == [
        (2222, 22),
        (20000, 80),
    ]
    assert {job.kind: job.title for job in Job.objects.all()} == {
        "network": "Create network home",
        "vm": "Create VM web-1",
    }
    assert vm.job is not None
    assert list(vm.job.prerequisites.all()) == [network.job]
    assert set(AuditEvent.objects.values_list("action", flat=True)) == {
        "network.create",
        "vm.create",
    }


def test_a_block_of_ports_comes_with_a_vm(
    alice: User, client: Client, network: Network, image: Image
) -> None:
    """Free ones in a row, to the same ports of the VM."""
    client.force_login(alice)
    body = {"name": "game-1", "network": str(network.uuid), "image": str(image.uuid)}
    refusal = client.post("/api/v1/vms/", {**body, "forwards": [{}]}, "application/json")
    assert (refusal.status_code, refusal.json()["field"]) == (400, "forwards.0.target_port")
    block = {"forwards": [{"ports": 10, "protocol": "udp"}]}
    made = client.post("/api/v1/vms/", body | block, "application/json")
    assert made.status_code == 202, made.content
    (forward,) = Forward.objects.all()
    assert (forward.ports, forward.public_port, forward.target_port) == (10, 20000, 20000)


def test_the_spec_says_everything(actor: Actor, wanted: NewVm, image: Image) -> None:
    vm = create_vm(actor, replace(wanted, user_data="#!/bin/sh\n", disk_gib=3))
    reservation = vm.nics.get().reservation
    spec = build_spec(vm)
    assert spec["domain"] == f"db-1-{vm.uuid.hex[:8]}"
    assert [(disk["size_gib"], disk["image"]["sha256"]) for disk in spec["disks"]] == [
        (3, image.sha256)
    ]
    assert [(nic["bridge"], nic["tap"], nic["mac"]) for nic in spec["nics"]] == [
        (reservation.network.bridge, reservation.port, reservation.mac)
    ]
    assert spec["seed"]["hostname"] == "db-1"
    assert spec["seed"]["user_data"] == "#!/bin/sh\n"


def test_it_goes_to_the_networks_project_and_host(
    olga: User, wanted: NewVm, project: Project, host: Host
) -> None:
    vm = create_vm(Actor(olga), wanted)
    assert (vm.project, vm.host) == (project, host)


BAD: list[tuple[dict[str, Any], Any, str, str]] = [
    ({"name": "<script>"}, Invalid, "name", "invalid_name"),
    ({"name": "x" * 300}, Invalid, "name", "invalid_name"),
    ({"name": ""}, Invalid, "name", "invalid_name"),
    ({"name": "web-1"}, Conflict, "name", "name_taken"),
    ({"image": missing()}, Invalid, "image", "no_such_image"),
    ({"image": "windows-95"}, Invalid, "image", "no_such_image"),
    ({"network": missing()}, Invalid, "network", "no_such_network"),
    ({"project": missing()}, Invalid, "project", "no_such_project"),
    ({"host": missing()}, Invalid, "host", "invalid"),
    ({"memory_mib": 16385}, Invalid, "memory_mib", "more_than_the_host_has"),
    ({"memory_mib": 127}, Invalid, "memory_mib", "invalid"),
    ({"memory_mib": -1}, Invalid, "memory_mib", "invalid"),
    ({"vcpus": 9}, Invalid, "vcpus", "invalid"),
    ({"vcpus": 0}, Invalid, "vcpus", "invalid"),
    ({"disk_gib": 0}, Invalid, "disk_gib", "invalid"),
    ({"disk_gib": 10**9}, Invalid, "disk_gib", "invalid"),
    ({"ssh_keys": ["hello"]}, Invalid, "ssh_keys", "invalid_ssh_key"),
    ({"user_data": "echo hi"}, Invalid, "user_data", "invalid"),
    ({"user_data": "#!" + "x" * 70_000}, Invalid, "user_data", "invalid"),
    (
        {"forwards": [NewForward(target_port=80), NewForward(target_port=1, public_port=22)]},
        Conflict,
        "forwards.1.public_port",
        "port_reserved",
    ),
    (
        {"forwards": [NewForward(target_port=80, public_port=20022)]},
        Conflict,
        "forwards.0.public_port",
        "port_taken",
    ),
    (
        {"forwards": [NewForward(target_port=1, public_port=7000)] * 2},
        Conflict,
        "forwards.1.public_port",
        "port_taken",
    ),
    ({"forwards": [NewForward(target_port=0)]}, Invalid, "forwards.0.target_port", "invalid"),
    (
        {"forwards": [NewForward(target_port=1, protocol="icmp")]},
        Invalid,
        "forwards.0.protocol",
        "invalid",
    ),
    (
        {"network": NewNetwork(name="n", ipv4_subnet="10.60.0.64/26")},
        Conflict,
        "network.ipv4_subnet",
        "subnet_overlaps",
    ),
    (
        {"network": NewNetwork(name="n", ipv4_subnet="1.2.3.0/24")},
        Invalid,
        "network.ipv4_subnet",
        "invalid_subnet",
    ),
    ({"network": NewNetwork(name="no name")}, Invalid, "network.name", "invalid_name"),
    ({"network": NewNetwork(name="home")}, Conflict, "network.name", "name_taken"),
    ({"network": NewNetwork(name="n", mode="magic")}, Invalid, "network.mode", "invalid"),
    (
        {"forwards": [NewForward(target_port=80)] * (MOST_FORWARDS + 1)},
        Invalid,
        "forwards",
        "invalid",
    ),
    (
        {
            "network": NewNetwork(name="n", mode="isolated"),
            "forwards": [NewForward(target_port=80)],
        },
        Conflict,
        "forwards.0",
        "network_isolated",
    ),
]


@pytest.mark.parametrize(("change", "error", "field", "code"), BAD)
def test_an_unfit_vm_is_refused_whole(
    actor: Actor,
    vm: Vm,
    wanted: NewVm,
    change: dict[str, Any],
    error: Any,
    field: str,
    code: str,
) -> None:
    with refused(error, field, code=code):
        create_vm(actor, replace(wanted, **change))


def test_a_host_that_has_not_said_what_it_has_takes_no_absurd_vm(
    actor: Actor, wanted: NewVm
) -> None:
    Host.objects.update(facts={})
    with refused(Invalid, "memory_mib"):
        create_vm(actor, replace(wanted, memory_mib=10**12))
    with refused(Invalid, "vcpus"):
        create_vm(actor, replace(wanted, vcpus=65))


def test_an_image_of_others_is_unknown(actor: Actor, mallory: User, wanted: NewVm) -> None:
    secret = create_project(Actor(mallory), name="Secret")
    image = Image.objects.create(
        name="secret",
        project=secret,
        sha256="1" * 64,
        size_bytes=1,
        virtual_size_bytes=1,
        source="/",
    )
    for word in (image.uuid, "secret"):
        with refused(Invalid, "image", code="no_such_image"):
            create_vm(actor, replace(wanted, image=word))


def test_a_network_of_another_project_is_refused(actor: Actor, wanted: NewVm) -> None:
    other = create_project(actor, name="Other")
    with refused(Invalid, "network"):
        create_vm(actor, replace(wanted, project=other.uuid))


def test_a_network_that_goes_takes_no_vm(actor: Actor, wanted: NewVm, network: Network) -> None:
    delete_network(actor, network.uuid)
    with refused(Conflict, "network", code="deleting"):
        create_vm(actor, wanted)


def test_a_host_in_maintenance_takes_no_vm(actor: Actor, wanted: NewVm) -> None:
    Host.objects.update(maintenance=True)
    with refused(Conflict, "network", code="maintenance"):
        create_vm(actor, wanted)
    with refused(Invalid, "host"):
        create_vm(actor, replace(wanted, network=NewNetwork(name="n")))


def test_readers_and_strangers_change_nothing(
    bob: User, mallory: User, wanted: NewVm, vm: Vm
) -> None:
    for change in (
        lambda actor: create_vm(actor, wanted),
        lambda actor: set_power(actor, vm.uuid, "off"),
        lambda actor: change_vm(actor, vm.uuid, vcpus=2),
        lambda actor: delete_vm(actor, vm.uuid),
        lambda actor: repair_vm(actor, vm.uuid),
    ):
        with refused(Forbidden):
            change(Actor(bob))
    with refused(Invalid, "network"):
        create_vm(Actor(mallory), wanted)
    with refused(NotFound):
        delete_vm(Actor(mallory), vm.uuid)


@pytest.mark.parametrize(
    ("power", "force", "title", "action", "state"),
    [
        ("off", False, "Stop VM web-1", "vm.stop", "stopping"),
        ("off", True, "Force off VM web-1", "vm.force_off", "stopping"),
        ("on", False, "Start VM web-1", "vm.start", "changing"),
    ],
)
def test_power_is_intent_and_a_job(
    actor: Actor, vm: Vm, *, power: str, force: bool, title: str, action: str, state: str
) -> None:
    changed = set_power(actor, vm.uuid, power, force=force)
    assert changed.job is not None
    assert (changed.power, changed.force, changed.job.title) == (power, force, title)
    assert build_spec(changed)["power"] == power
    assert build_spec(changed)["force"] is force
    assert changed.state.value == state
    assert AuditEvent.objects.filter(action=action, object_uuid=vm.uuid).exists()


def test_resizing_is_checked_like_a_new_vm(actor: Actor, vm: Vm) -> None:
    changed = change_vm(actor, vm.uuid, memory_mib=1024)
    assert (changed.vcpus, changed.memory_mib) == (1, 1024)
    with refused(Invalid, "memory_mib", code="more_than_the_host_has"):
        change_vm(actor, vm.uuid, memory_mib=10**6)
    with refused(Invalid, "vcpus"):
        change_vm(actor, vm.uuid, vcpus=100)


def test_a_new_name_is_the_networks_at_once_and_the_guests_later(
    actor: Actor, vm: Vm, wanted: NewVm
) -> None:
    create_vm(actor, wanted)
    changed = change_vm(actor, vm.uuid, name="shop")
    assert changed.nics.get().reservation.name == "shop"
    spec = build_spec(changed)
    assert (spec["name"], spec["seed"]["hostname"]) == ("shop", "shop")
    assert spec["domain"] == f"shop-{vm.uuid.hex[:8]}"
    assert AuditEvent.objects.filter(action="reservation.change").exists()
    with refused(Conflict, "name", code="name_taken"):
        change_vm(actor, vm.uuid, name="db-1")
    with refused(Invalid, "name", code="invalid_name"):
        change_vm(actor, vm.uuid, name="No good")


def test_a_name_of_its_own_in_the_network_stays(actor: Actor, vm: Vm) -> None:
    change_reservation(actor, vm.nics.get().reservation.uuid, name="alias")
    assert change_vm(actor, vm.uuid, name="shop").nics.get().reservation.name == "alias"


def test_what_goes_with_a_vm_is_said_before_and_written_down(
    actor: Actor, vm: Vm, forward: Forward
) -> None:
    said = {"disks": 1, "disk_gib": 1, "forwards": 1, "host_names": 0}
    assert what_goes(vm) == said
    delete_vm(actor, vm.uuid)
    event = AuditEvent.objects.get(action="vm.delete")
    assert event.data == said


def test_a_deleted_vm_goes_when_host_and_network_have_let_go(
    actor: Actor, vm: Vm, reservation: Reservation, wanted: NewVm
) -> None:
    deleted = delete_vm(actor, vm.uuid)
    assert deleted.state.value == "deleting"
    assert build_spec(deleted)["present"] is False
    finish_job(deleted.job)
    assert not Vm.objects.exists()
    # The network has not let go yet: address and port stay taken.
    assert PortClaim.objects.filter(port=20022).exists()
    finish_job(Network.objects.get().job)
    assert not PortClaim.objects.exists()
    assert not Reservation.objects.exists()
    again = create_vm(actor, replace(wanted, name="web-1"))
    assert again.address == reservation.address


def test_nothing_more_happens_to_a_vm_that_goes(actor: Actor, vm: Vm) -> None:
    delete_vm(actor, vm.uuid)
    with refused(Conflict, code="deleting"):
        set_power(actor, vm.uuid, "on")
    with refused(Conflict, code="deleting"):
        change_vm(actor, vm.uuid, vcpus=2)
    with refused(Conflict, code="deleting"):
        delete_vm(actor, vm.uuid)


def test_a_deleted_vm_does_not_wait_for_its_network(actor: Actor, vm: Vm) -> None:
    deleted = delete_vm(actor, vm.uuid)
    finish_job(deleted.job)
    assert not Vm.objects.exists()
    assert Job.objects.get(kind="network", status=Status.QUEUED)


def test_the_network_may_go_once_its_vms_are_going(actor: Actor, vm: Vm, network: Network) -> None:
    delete_vm(actor, vm.uuid)
    delete_network(actor, network.uuid)
    network.refresh_from_db()
    finish_job(network.job)
    assert not Network.objects.exists()
    finish_job(Vm.objects.get().job)
    assert not Vm.objects.exists()


def test_a_vm_on_a_silent_host_says_so(vm: Vm) -> None:
    Host.objects.update(monitor_seen_at=None, facts=FACTS)
    assert Vm.objects.get().state.value == "host_not_answering"
