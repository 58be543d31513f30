"""Flavours: who offers them, who may take them, and that VMs keep what they took."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from kvmweb.core.errors import Conflict, Forbidden, Invalid
from kvmweb.projects.actions import Actor, create_project
from kvmweb.projects.models import Project
from networks.models import Network
from tests.refusals import refused
from tests.vms.test_first_boot import page_of
from vms.actions import NewVm, change_flavour, change_vm, create_flavour, create_vm, delete_flavour
from vms.models import Flavour, Image, Vm
from vms.spec_from_rows import build_spec

pytestmark = [pytest.mark.db, pytest.mark.django_db]


@pytest.fixture
def flavour(olga: User) -> Flavour:
    return create_flavour(Actor(olga), name="small", vcpus=2, memory_mib=1024, disk_gib=8)


@pytest.fixture
def wanted(network: Network, image: Image, flavour: Flavour) -> NewVm:
    return NewVm(name="db-1", network=network.uuid, image=image.uuid, flavour=flavour.uuid)


def size(vm: Vm) -> tuple[int, int, int]:
    spec = build_spec(vm)
    return spec["vcpus"], spec["memory_mib"], spec["disks"][0]["size_gib"]


def test_a_vm_has_the_size_of_its_flavour_and_keeps_it(
    actor: Actor, olga: User, wanted: NewVm, flavour: Flavour
) -> None:
    vm = create_vm(actor, replace(wanted, vcpus=1, memory_mib=128, disk_gib=1))
    assert size(vm) == (2, 1024, 8)
    change_flavour(Actor(olga), flavour.uuid, vcpus=4, name="medium")
    delete_flavour(Actor(olga), flavour.uuid)
    vm.refresh_from_db()
    assert (size(vm), vm.flavour) == ((2, 1024, 8), None)


def test_a_vm_takes_another_flavour_and_its_disk_only_grows(
    actor: Actor, olga: User, wanted: NewVm
) -> None:
    vm = create_vm(actor, wanted)
    large, tiny = (
        create_flavour(Actor(olga), name=name, vcpus=1, memory_mib=memory, disk_gib=disk)
        for name, memory, disk in (("large", 2048, 20), ("tiny", 128, 1))
    )
    assert size(change_vm(actor, vm.uuid, flavour=large.uuid)) == (1, 2048, 20)
    assert size(change_vm(actor, vm.uuid, flavour=tiny.uuid)) == (1, 128, 20)
    assert change_vm(actor, vm.uuid, memory_mib=256).flavour is None


def test_a_flavour_of_other_projects_is_none(
    actor: Actor, alice: User, olga: User, wanted: NewVm, flavour: Flavour
) -> None:
    other = create_project(Actor(olga), name="other")
    change_flavour(Actor(olga), flavour.uuid, projects=[other.uuid])
    with refused(Invalid, "flavour", code="no_such_flavour"):
        create_vm(actor, wanted)
    with refused(Invalid, "flavour", code="no_such_flavour"):
        create_vm(Actor(olga), wanted)
    assert not Flavour.objects.visible_to(alice).exists()


def test_only_operators_offer_flavours(actor: Actor, olga: User, flavour: Flavour) -> None:
    with refused(Forbidden):
        create_flavour(actor, name="x", vcpus=1, memory_mib=512, disk_gib=1)
    with refused(Forbidden):
        change_flavour(actor, flavour.uuid, vcpus=64)
    with refused(Forbidden):
        delete_flavour(actor, flavour.uuid)
    with refused(Conflict, "name", code="name_taken"):
        create_flavour(Actor(olga), name="small", vcpus=1, memory_mib=512, disk_gib=1)
    for bad in ({"vcpus": 0}, {"memory_mib": 1}, {"disk_gib": 10**9}):
        with refused(Invalid, next(iter(bad))):
            change_flavour(Actor(olga), flavour.uuid, **bad)  # type: ignore[arg-type]


def test_where_only_flavours_are_offered_sizes_of_ones_own_are_refused(
    settings: LazySettings,
    client: Client,
    alice: User,
    olga: User,
    network: Network,
    image: Image,
    wanted: NewVm,
    project: Project,
) -> None:
    settings.KVMWEB_FLAVOURS_ONLY = True
    actor = Actor(alice)
    with refused(Invalid, "flavour", code="flavour_needed"):
        create_vm(actor, replace(wanted, flavour=None))
    vm = create_vm(actor, wanted)
    with refused(Invalid, "flavour", code="flavour_needed"):
        change_vm(actor, vm.uuid, memory_mib=4096)
    assert change_vm(actor, vm.uuid, autostart=False, memory_mib=1024).flavour is not None
    assert create_vm(Actor(olga), replace(wanted, flavour=None, name="free")).flavour is None
    client.force_login(alice)
    page = client.get(reverse("vm-new")).content
    assert b'name="flavour"' in page
    assert b'name="memory_mib"' not in page
    data = page_of(network, image, name="db-2", flavour=str(wanted.flavour), memory_mib="64")
    assert client.post(reverse("vm-new"), data).status_code == 302
    assert Vm.objects.get(name="db-2").memory_mib == 1024
    settings_page = reverse("vm-settings", args=[vm.uuid])
    assert client.post(settings_page, {"name": "renamed", "flavour": ""}).status_code == 302
    assert Vm.objects.get(name="renamed").memory_mib == 1024
