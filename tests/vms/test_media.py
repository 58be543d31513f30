"""ISOs in and out, the order of boot, rescue: what the host is told, and when it is refused."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from kvmweb.core.errors import Conflict, Invalid
from kvmweb.projects.actions import Actor
from networks.models import Network
from tests.cast import finish_job
from tests.refusals import refused
from vms.actions import (
    NewVm,
    begin_rescue,
    create_vm,
    delete_image,
    eject_iso,
    end_rescue,
    insert_iso,
    rebuild_vm,
    set_boot_order,
)
from vms.models import Image, Vm
from vms.spec_from_rows import build_spec

pytestmark = [pytest.mark.db, pytest.mark.django_db]


@pytest.fixture
def iso(db: None) -> Image:
    return Image.objects.create(
        name="netinst", sha256="3" * 64, size_bytes=1, found_format="iso", speaks_cloud_init=False
    )


def first(vm: Vm) -> str:
    return str(vm.disks.all()[0].uuid)


def test_an_iso_goes_in_and_out_and_the_drive_stays(
    actor: Actor, olga: User, vm: Vm, iso: Image
) -> None:
    assert build_spec(vm)["drive"] is None
    told = build_spec(insert_iso(actor, vm.uuid, image=iso.name))["drive"]
    assert told["image"]["sha256"] == iso.sha256
    with refused(Conflict, code="image_in_use"):
        delete_image(Actor(olga), iso.uuid)
    assert build_spec(eject_iso(actor, vm.uuid))["drive"] == {"image": None}
    with refused(Conflict, code="drive_empty"):
        eject_iso(actor, vm.uuid)


def test_an_iso_is_no_disk_and_a_disk_is_no_iso(
    actor: Actor, vm: Vm, network: Network, image: Image, iso: Image
) -> None:
    with refused(Conflict, "image", code="image_is_no_iso"):
        insert_iso(actor, vm.uuid, image=image.uuid)
    with refused(Conflict, "image", code="image_is_iso"):
        create_vm(actor, NewVm(name="x", network=network.uuid, image=iso.uuid))
    with refused(Conflict, "image", code="image_is_iso"):
        rebuild_vm(actor, vm.uuid, image=iso.uuid, name="web-1")


def test_the_boot_order_names_devices_of_the_vm_each_once(actor: Actor, vm: Vm) -> None:
    assert build_spec(vm)["boot"] == ()
    nic = str(vm.nics.get().uuid)
    order = [nic, "cdrom", first(vm)]
    assert build_spec(set_boot_order(actor, vm.uuid, order=order))["boot"] == tuple(order)
    wrong: list[str]
    for wrong in ([], ["cdrom", "cdrom"], ["floppy"], [str(vm.uuid)]):
        with refused(Invalid, "order", code="no_such_device"):
            set_boot_order(actor, vm.uuid, order=wrong)


def test_a_rebuilt_vm_starts_from_its_new_disk(actor: Actor, vm: Vm, image: Image) -> None:
    set_boot_order(actor, vm.uuid, order=[first(vm)])
    rebuilt = rebuild_vm(actor, vm.uuid, image=image.uuid, name="web-1")
    assert build_spec(rebuilt)["boot"] == (first(rebuilt),)


def test_rescue_starts_from_another_disk_before_its_own_and_back(
    actor: Actor, vm: Vm, image: Image
) -> None:
    during = build_spec(begin_rescue(actor, vm.uuid, image=image.uuid))
    own, rescue = (disk["id"] for disk in during["disks"])
    assert (own, during["boot"]) == (first(vm), (rescue, own))
    assert (during["power"], during["force"], during["boots"]) == ("on", False, 1)
    with refused(Conflict, code="in_rescue"):
        begin_rescue(actor, vm.uuid, image=image.uuid)
    with refused(Conflict, code="in_rescue"):
        rebuild_vm(actor, vm.uuid, image=image.uuid, name="web-1")
    finish_job(Vm.objects.get().job, state="running", boots=1)
    back = build_spec(end_rescue(actor, vm.uuid, force=True))
    assert ([disk["id"] for disk in back["disks"]], back["boot"]) == ([own], (own,))
    assert (back["force"], back["boots"]) == (True, 2)
    with refused(Conflict, code="not_in_rescue"):
        end_rescue(actor, vm.uuid)


def test_rescue_by_an_iso_goes_through_the_drive(actor: Actor, vm: Vm, iso: Image) -> None:
    during = build_spec(begin_rescue(actor, vm.uuid, image=iso.uuid))
    assert during["boot"] == ("cdrom", first(vm))
    assert during["drive"]["image"]["sha256"] == iso.sha256
    assert build_spec(end_rescue(actor, vm.uuid))["drive"] == {"image": None}


def test_the_page_tells_and_does_all_of_it(client: Client, alice: User, vm: Vm, iso: Image) -> None:
    client.force_login(alice)
    page = reverse("vm-media", args=[vm.uuid])
    assert "no drive yet" in client.get(page).content.decode()
    client.post(reverse("vm-iso", args=[vm.uuid]), {"image": str(iso.uuid)})
    assert "ISO netinst is in its drive" in client.get(page).content.decode()
    client.post(reverse("vm-boot-order", args=[vm.uuid]), {"first": "cdrom"})
    assert "It tries CD drive, then disk 1" in client.get(page).content.decode()
    client.post(reverse("vm-rescue", args=[vm.uuid]), {"image": str(iso.uuid)})
    assert "being rescued with netinst" in client.get(page).content.decode()
    client.post(reverse("vm-rescue", args=[vm.uuid]), {"end": "1"})
    client.post(reverse("vm-iso", args=[vm.uuid]), {"eject": "1"})
    assert "Its drive is empty" in client.get(page).content.decode()
