"""Disks and NICs that come and go: what is reserved, what the host is told, what is refused."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from kvmweb.core.errors import Conflict, Forbidden, Invalid, NotFound
from kvmweb.hosts.models import Host
from kvmweb.projects.actions import Actor, create_project
from networks.actions import create_network, delete_network
from networks.models import Forward, Network
from tests.cast import finish_job, missing
from tests.refusals import refused
from vms.actions import add_disk, add_nic, grow_disk, remove_disk, remove_nic
from vms.actions.disks import MOST_DISKS
from vms.models import Disk, Nic, Vm
from vms.spec_from_rows import build_spec

pytestmark = [pytest.mark.db, pytest.mark.django_db]


def test_a_disk_comes_grows_and_goes(actor: Actor, vm: Vm) -> None:
    add_disk(actor, vm.uuid, size_gib=2)
    first, second = vm.disks.all()
    grow_disk(actor, vm.uuid, disk=second.uuid, size_gib=3)
    disks = build_spec(vm)["disks"]
    assert [(disk["size_gib"], bool(disk["image"])) for disk in disks] == [(1, True), (3, False)]
    remove_disk(actor, vm.uuid, disk=second.uuid)
    assert [disk["id"] for disk in build_spec(vm)["disks"]] == [str(first.uuid)]


def test_what_would_lose_a_disk_is_refused(actor: Actor, vm: Vm) -> None:
    disk = vm.disks.get()
    with refused(Conflict, "disk", code="first_disk"):
        remove_disk(actor, vm.uuid, disk=disk.uuid)
    with refused(Invalid, "size_gib"):
        grow_disk(actor, vm.uuid, disk=disk.uuid, size_gib=0)
    with refused(Invalid, "disk", code="no_such_disk"):
        grow_disk(actor, vm.uuid, disk=missing(), size_gib=9)
    Disk.objects.bulk_create(Disk(vm=vm, size_gib=1) for _ in range(MOST_DISKS))
    with refused(Conflict, code="too_many_disks"):
        add_disk(actor, vm.uuid, size_gib=1)


def test_a_nic_waits_for_its_address_and_goes_with_all_that_leads_to_it(
    actor: Actor, vm: Vm, network: Network, forward: Forward
) -> None:
    lab = create_network(actor, name="lab", mode="isolated", ipv4_subnet="10.61.0.0/24")
    finish_job(lab.job)
    changed = add_nic(actor, vm.uuid, network=lab.uuid)
    lab.refresh_from_db()
    assert changed.job is not None
    assert list(changed.job.prerequisites.all()) == [lab.job]
    first, second = vm.nics.all()
    assert second.reservation.name == vm.name
    assert [nic["tap"] for nic in build_spec(vm)["nics"]] == [
        nic.reservation.port for nic in (first, second)
    ]
    remove_nic(actor, vm.uuid, nic=first.uuid)
    assert [nic["mac"] for nic in build_spec(vm)["nics"]] == [second.reservation.mac]
    assert not Forward.objects.get().present
    with refused(Invalid, "nic", code="no_such_nic"):
        remove_nic(actor, vm.uuid, nic=first.uuid)
    finish_job(Network.objects.get(pk=network.pk).job)
    assert list(Nic.objects.all()) == [second]


def test_a_second_nic_on_the_same_network_has_a_name_of_its_own(
    actor: Actor, vm: Vm, network: Network
) -> None:
    add_nic(actor, vm.uuid, network=network.uuid)
    assert [nic.reservation.name for nic in vm.nics.all()] == ["web-1", "web-1-2"]


def test_a_nic_is_not_put_where_the_vm_cannot_be(
    actor: Actor, vm: Vm, network: Network, host: Host
) -> None:
    other = create_project(actor, name="Other")
    theirs = create_network(actor, name="theirs", project=other.uuid)
    with refused(Invalid, "network"):
        add_nic(actor, vm.uuid, network=theirs.uuid)
    with refused(Invalid, "network", code="no_such_network"):
        add_nic(actor, vm.uuid, network=missing())
    away = create_network(actor, name="away", project=vm.project.uuid)
    Network.objects.filter(pk=away.pk).update(host=Host.objects.create(name="h2", key="k" * 64))
    with refused(Invalid, "network"):
        add_nic(actor, vm.uuid, network=away.uuid)
    going = create_network(actor, name="going", project=vm.project.uuid)
    delete_network(actor, going.uuid)
    with refused(Conflict, "network", code="deleting"):
        add_nic(actor, vm.uuid, network=going.uuid)


def test_readers_and_strangers_plug_nothing(
    bob: User, mallory: User, vm: Vm, network: Network
) -> None:
    disk, nic = vm.disks.get(), vm.nics.get()
    for who, error in ((bob, Forbidden), (mallory, NotFound)):
        asker = Actor(who)
        with refused(error):
            add_disk(asker, vm.uuid, size_gib=1)
        with refused(error):
            grow_disk(asker, vm.uuid, disk=disk.uuid, size_gib=9)
        with refused(error):
            remove_disk(asker, vm.uuid, disk=disk.uuid)
        with refused(error):
            add_nic(asker, vm.uuid, network=network.uuid)
        with refused(error):
            remove_nic(asker, vm.uuid, nic=nic.uuid)


def test_the_page_adds_enlarges_and_takes_away_what_is_confirmed(
    alice: User, vm: Vm, network: Network, client: Client
) -> None:
    client.force_login(alice)
    page = f"/vms/{vm.uuid}/hardware/"
    assert client.post(page, {"size_gib": "2"}).status_code == 302
    second = vm.disks.all()[1]
    sent = {"disk": str(second.uuid), "size_gib": "4"}
    assert client.post(f"{page}grow/", sent).status_code == 302
    assert b"4 GiB" in client.get(page).content
    assert client.post(f"{page}remove/", {"disk": str(second.uuid)}).status_code == 400
    gone = {"disk": str(second.uuid), "sure": "on"}
    assert client.post(f"{page}remove/", gone).status_code == 302
    assert client.post(f"{page}nic/", {"network": str(network.uuid)}).status_code == 302
    assert vm.nics.count() == 2
    gone = {"nic": str(vm.nics.all()[1].uuid), "sure": "on"}
    assert client.post(f"{page}remove/", gone).status_code == 302
    assert len(build_spec(vm)["nics"]) == 1


def test_a_running_guest_may_get_as_many_cpus_as_its_host_has(vm: Vm) -> None:
    assert build_spec(vm)["max_vcpus"] == 8
    Host.objects.update(facts={})
    assert build_spec(Vm.objects.get())["max_vcpus"] == 1
