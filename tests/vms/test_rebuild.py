"""Rebuilding and cloning: what is new, what stays, and when neither is done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from kvmweb.core.errors import Conflict, Forbidden, Invalid
from kvmweb.projects.actions import Actor
from kvmweb.projects.models import AuditEvent, Project
from networks.actions import create_network
from networks.models import Forward, Network
from tests.cast import finish_job, kept_snapshot
from tests.refusals import refused
from tests.vms.test_first_boot import page_of
from vms.actions import NewVm, add_disk, clone_vm, create_vm, delete_vm, rebuild_vm, set_power
from vms.models import GIB, Disk, Image, Vm
from vms.spec_from_rows import build_spec

pytestmark = [pytest.mark.db, pytest.mark.django_db]


@pytest.fixture
def other(db: None) -> Image:
    return Image.objects.create(
        name="debian", sha256="2" * 64, virtual_size_bytes=6 * GIB, min_memory_mib=256
    )


def off(vm: Vm) -> Vm:
    Vm.objects.filter(pk=vm.pk).update(power_state="off", power="off")
    vm.refresh_from_db()
    return vm


def test_rebuilt_it_has_another_first_disk_and_nothing_else_new(
    actor: Actor, vm: Vm, other: Image
) -> None:
    finish_job(add_disk(actor, vm.uuid, size_gib=2).job, state="running")
    before = build_spec(vm)
    after = build_spec(rebuild_vm(actor, vm.uuid, image=other.name, name="web-1"))
    assert after["disks"][0]["id"] != before["disks"][0]["id"]
    assert (after["disks"][0]["image"]["sha256"], after["disks"][0]["size_gib"]) == ("2" * 64, 6)
    assert after["disks"][1] == build_spec(vm)["disks"][1]
    assert (after["power"], after["force"], after["boots"]) == ("on", True, before["boots"] + 1)
    for same in ("name", "domain", "nics", "seed", "vcpus", "memory_mib"):
        assert after[same] == before[same]
    assert Forward.objects.get().public_endpoint == "198.51.100.11:20022"
    assert AuditEvent.objects.get(action="vm.rebuild").data["image"] == "debian"


def test_it_is_rebuilt_only_when_it_is_meant(actor: Actor, bob: User, vm: Vm, other: Image) -> None:
    with refused(Invalid, "name", code="not_confirmed"):
        rebuild_vm(actor, vm.uuid, image=other.uuid, name="web-2")
    with refused(Forbidden):
        rebuild_vm(Actor(bob), vm.uuid, image=other.uuid, name="web-1")
    with refused(Invalid, "image", code="no_such_image"):
        rebuild_vm(actor, vm.uuid, image="windows", name="web-1")
    Image.objects.filter(pk=other.pk).update(min_memory_mib=4096)
    with refused(Invalid, "memory_mib"):
        rebuild_vm(actor, vm.uuid, image=other.uuid, name="web-1")
    Vm.objects.update(power_state="saved")
    Image.objects.filter(pk=other.pk).update(min_memory_mib=128)
    with refused(Conflict, code="saved"):
        rebuild_vm(actor, vm.uuid, image=other.uuid, name="web-1")


def test_a_vm_with_snapshots_is_not_rebuilt(actor: Actor, vm: Vm, other: Image) -> None:
    kept_snapshot(actor, vm)
    with refused(Conflict, code="in_snapshots"):
        rebuild_vm(actor, vm.uuid, image=other.uuid, name="web-1")


def test_the_page_says_what_is_lost_and_asks_for_the_name(
    client: Client, alice: User, vm: Vm, other: Image
) -> None:
    client.force_login(alice)
    address = reverse("vm-rebuild", args=[vm.uuid])
    assert "cannot be taken back" in client.get(address).content.decode()
    wrong = client.post(address, {"name": "web-2", "image": str(other.uuid)})
    assert (wrong.status_code, Disk.objects.get().image == other) == (400, False)
    assert client.post(address, {"name": "web-1", "image": str(other.uuid)}).status_code == 302
    assert Disk.objects.get().image == other


def test_a_clone_is_another_vm_with_copies_of_the_disks(
    actor: Actor, vm: Vm, network: Network
) -> None:
    Vm.objects.update(password_hash="$6$x", login_user="alice", ssh_keys=["ssh-ed25519 AAAA a"])
    source = off(vm)
    clone = clone_vm(actor, vm.uuid, name="web-2")
    spec, first = build_spec(clone), build_spec(source)
    disk = first["disks"][0]
    assert spec["disks"][0]["copy_of"] == {"vm": str(vm.uuid), "disk": disk["id"], "snapshot": ""}
    assert spec["disks"][0]["image"]["sha256"] == disk["image"]["sha256"]
    assert spec["seed"]["instance_id"] != first["seed"]["instance_id"]
    assert (spec["seed"]["hostname"], spec["seed"]["password_hash"]) == ("web-2", "$6$x")
    assert [nic["network"] for nic in spec["nics"]] == [str(network.uuid)]
    assert spec["nics"][0]["mac"] != first["nics"][0]["mac"]
    assert Forward.objects.count() == 1


def test_its_source_stays_off_until_the_copy_is_made(actor: Actor, vm: Vm) -> None:
    clone = clone_vm(actor, off(vm).uuid, name="web-2", start=False)
    with refused(Conflict, code="being_cloned"):
        set_power(actor, vm.uuid, "on")
    network = Network.objects.get()
    finish_job(network.job)
    finish_job(clone.job, state="off")
    assert set_power(actor, vm.uuid, "on").power == "on"
    clone.refresh_from_db()
    assert build_spec(clone)["disks"][0]["copy_of"] is None
    Vm.objects.filter(pk=vm.pk).update(power_state="off")
    finish_job(delete_vm(actor, vm.uuid).job)
    assert Disk.objects.get().copied_from is None


@pytest.mark.parametrize("state", ["running", "paused", "saved", ""])
def test_what_is_not_off_is_not_cloned(actor: Actor, vm: Vm, state: str) -> None:
    Vm.objects.update(power_state=state)
    with refused(Conflict, code="not_off"):
        clone_vm(actor, vm.uuid, name="web-2")


def test_a_clone_needs_a_name_of_its_own(actor: Actor, vm: Vm) -> None:
    off(vm)
    with refused(Conflict, "name", code="name_taken"):
        clone_vm(actor, vm.uuid, name="web-1")


def test_a_vm_is_made_with_several_nics(
    actor: Actor, client: Client, alice: User, network: Network, image: Image, project: Project
) -> None:
    lab = create_network(actor, name="lab", project=project.uuid)
    wanted = NewVm(
        name="db-1",
        network=lab.uuid,
        image=image.uuid,
        more_networks=[network.uuid, network.uuid],
    )
    vm = create_vm(actor, wanted)
    reservations = [nic.reservation for nic in vm.nics.all()]
    assert [(r.network.name, r.name) for r in reservations] == [
        ("lab", "db-1"),
        ("home", "db-1"),
        ("home", "db-1-2"),
    ]
    assert vm.job is not None
    assert set(vm.job.prerequisites.values_list("subject_name", flat=True)) == {"lab", "home"}
    client.force_login(alice)
    data: dict[str, Any] = {"name": "db-2", "more_networks": [str(lab.uuid)]}
    assert client.post(reverse("vm-new"), page_of(network, image, **data)).status_code == 302
    assert Vm.objects.get(name="db-2").nics.count() == 2


def test_more_nics_than_a_vm_may_have_and_foreign_networks_are_refused(
    actor: Actor, olga: User, network: Network, image: Image
) -> None:
    wanted = NewVm(name="db-1", network=network.uuid, image=image.uuid)
    with refused(Invalid, "more_networks"):
        create_vm(actor, replace(wanted, more_networks=[network.uuid] * 8))
    theirs = create_network(Actor(olga), name="theirs")
    with refused(Invalid, "more_networks", code="no_such_network"):
        create_vm(actor, replace(wanted, more_networks=[theirs.uuid]))
    with refused(Invalid, "more_networks"):
        create_vm(Actor(olga), replace(wanted, more_networks=[theirs.uuid]))
