"""What programs ask for is one action each: 202, the job, and the object as it is now."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from kvmweb.hosts.models import PublicAddress
from kvmweb.projects.models import AuditEvent, Project
from networks.models import Forward, Network, Reservation
from tests.cast import finish_job
from tests.kvmweb.api.conftest import Program
from vms.models import Image, Vm

pytestmark = [pytest.mark.db, pytest.mark.django_db]


def test_network_vm_and_forward_in_one_request(
    alices: Program, project: Project, public_address: PublicAddress, image: Image
) -> None:
    answer = alices.post(
        "vms/",
        {
            "name": "hello",
            "network": {"name": "demo", "ipv4_subnet": "10.66.0.0/24"},
            "image": "tiny",
            "vcpus": 1,
            "memory_mib": 256,
            "disk_gib": 2,
            "forwards": [{"protocol": "tcp", "public_port": 8080, "target_port": 80}],
        },
    )
    assert answer.status_code == 202, answer.data
    vm = answer.data
    assert (vm["state"], vm["address"]) == ("creating", "10.66.0.2")
    assert vm["public_endpoint"] == "198.51.100.11:8080"
    assert vm["project"] == str(project.uuid)
    assert vm["disks"][0]["size_gib"] == 2
    job = alices.client.get(answer.headers["Location"]).data
    assert job["id"] == str(vm["job"])
    assert (job["status"], job["subject"]["id"]) == ("queued", vm["id"])
    network = Network.objects.get()
    finish_job(network.job)
    finish_job(Vm.objects.get().job, state="running")
    assert alices.get(f"vms/{vm['id']}/").data["state"] == "running"
    assert alices.get(f"networks/{network.uuid}/").data["state"] == "active"


def test_the_trail_names_the_token_and_the_address(
    alices: Program, alice: User, public_address: PublicAddress
) -> None:
    alices.post("networks/", {"name": "demo"})
    event = AuditEvent.objects.get(action="network.create")
    assert event.actor == alice
    assert event.source == "127.0.0.1"
    assert event.token == alice.api_tokens.get().prefix


def test_a_network_shows_what_it_is(alices: Program, vm: Vm, network: Network) -> None:
    shown = alices.get(f"networks/{network.uuid}/").data
    assert {key: shown[key] for key in ("name", "mode", "ipv4_subnet", "gateway", "state")} == {
        "name": "home",
        "mode": "nat",
        "ipv4_subnet": "10.60.0.0/24",
        "gateway": "10.60.0.1",
        "state": "active",
    }
    assert (shown["vm_count"], shown["forward_count"]) == (1, 1)
    assert shown["source_address"] == "198.51.100.11"


def test_a_reserved_address_without_a_vm_is_not_counted_as_one(
    alices: Program, network: Network
) -> None:
    answer = alices.post("reservations/", {"network": str(network.uuid), "name": "printer"})
    assert (answer.data["address"], answer.data["vm"], answer.data["state"]) == (
        "10.60.0.2",
        None,
        "creating",
    )
    assert alices.get(f"networks/{network.uuid}/").data["vm_count"] == 0


def test_a_forward_to_a_vm_and_one_to_its_reservation(
    alices: Program, vm: Vm, reservation: Reservation
) -> None:
    for target in ({"vm": str(vm.uuid)}, {"reservation": str(reservation.uuid)}):
        answer = alices.post("forwards/", {**target, "target_port": 80})
        assert answer.status_code == 202, answer.data
        assert (answer.data["vm"], answer.data["reservation"]) == (
            str(vm.uuid),
            str(reservation.uuid),
        ) or answer.data["vm"] == vm.uuid
        assert (answer.data["address"], answer.data["warnings"]) == (reservation.address, [])
        assert answer.data["public_endpoint"].startswith("198.51.100.11:2000")
    endpoints = alices.get(f"vms/{vm.uuid}/").data["public_endpoints"]
    assert len(endpoints) == 3
    shown = alices.get(f"reservations/{reservation.uuid}/").data["public_endpoints"]
    assert sorted(shown) == sorted(endpoints)


def test_an_ephemeral_port_is_allowed_with_a_warning(alices: Program, vm: Vm) -> None:
    wanted = {"vm": str(vm.uuid), "target_port": 80, "public_port": 40000}
    answer = alices.post("forwards/", wanted)
    assert answer.status_code == 202
    assert "40000" in answer.data["warnings"][0]


def test_refusals_about_a_vms_address_name_the_vm(alices: Program, vm: Vm) -> None:
    Network.objects.update(mode="isolated")
    answer = alices.post("forwards/", {"vm": str(vm.uuid), "target_port": 80})
    assert (answer.status_code, answer.data["field"]) == (409, "vm")


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("networks/@network/", {"name": "office"}),
        ("forwards/@forward/", {"target_port": 2222, "note": "ssh"}),
        ("vms/@vm/", {"vcpus": 2, "memory_mib": 1024}),
    ],
)
def test_a_patch_changes_what_it_names(
    alices: Program,
    network: Network,
    forward: Forward,
    vm: Vm,
    path: str,
    change: dict[str, Any],
) -> None:
    for word, thing in (("@network", network), ("@forward", forward), ("@vm", vm)):
        path = path.replace(word, str(thing.uuid))
    answer = alices.patch(path, change)
    assert answer.status_code == 202, answer.data
    assert {name: answer.data[name] for name in change} == change
    shown = alices.get(path).data
    assert shown["id"] == answer.data["id"]
    assert shown["job"] == answer.data["job"]


def test_a_deleted_vm_is_shown_going_and_then_not_at_all(alices: Program, vm: Vm) -> None:
    assert alices.delete(f"vms/{vm.uuid}/").status_code == 202
    answer = alices.post(f"vms/{vm.uuid}/purge/")
    assert (answer.status_code, answer.data["state"]) == (202, "deleting")
    finish_job(Vm.objects.get().job)
    assert alices.get(f"vms/{vm.uuid}/").status_code == 404
    assert alices.client.get(answer.headers["Location"]).data["status"] == "succeeded"


@pytest.mark.parametrize(
    ("word", "power", "force"),
    [("start", "on", False), ("stop", "off", False), ("force-off", "off", True)],
)
def test_power(alices: Program, vm: Vm, word: str, *, power: str, force: bool) -> None:
    answer = alices.post(f"vms/{vm.uuid}/{word}/")
    assert (answer.status_code, answer.data["power"]) == (202, power)
    vm.refresh_from_db()
    assert (vm.power, vm.force) == (power, force)


def test_repair_and_retry_answer_with_the_new_job(
    alices: Program, vm: Vm, network: Network
) -> None:
    for path in (f"vms/{vm.uuid}/repair/", f"networks/{network.uuid}/repair/"):
        before = alices.get(path.removesuffix("repair/")).data["job"]
        answer = alices.post(path)
        assert answer.data["job"] != before
        assert answer.headers["Location"].endswith(f"{answer.data['job']}/")
    old = vm.job
    assert old is not None
    answer = alices.post(f"jobs/{old.uuid}/retry/")
    assert (answer.status_code, answer.data["status"]) == (202, "queued")
    assert answer.headers["Location"].endswith(f"{answer.data['id']}/")


def test_secrets_and_paths_of_hosts_are_not_shown(
    alices: Program, olgas: Program, vm: Vm, image: Image
) -> None:
    assert image.source not in str(alices.get("images/").data)
    assert vm.host.key not in str(olgas.get("hosts/").data)
    assert "user_data" not in alices.get(f"vms/{vm.uuid}/").data
