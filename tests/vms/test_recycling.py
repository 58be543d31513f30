"""The recycle bin: what a deleted VM keeps, how it comes back, and when it goes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from kvmweb.core.errors import Conflict, Forbidden, NotFound, Several
from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.jobs.models import Job
from kvmweb.projects.actions import Actor
from kvmweb.projects.models import AuditEvent
from networks.actions import (
    add_forward,
    add_forwards,
    add_host_name,
    apply_to_reservation,
    change_forward,
    change_host_name,
    change_reservation,
    delete_network,
    resume_forward,
)
from networks.models import Forward, HostName, Network, PortClaim, Reservation
from networks.spec_from_rows import build_spec as network_spec
from tests.cast import finish_job
from tests.refusals import refused
from vms.actions import (
    NewVm,
    add_disk,
    add_nic,
    bin_vm,
    change_vm,
    create_vm,
    delete_now,
    delete_vm,
    restart_vm,
    restore_vm,
    set_power,
)
from vms.models import Image, Vm
from vms.spec_from_rows import build_spec
from vms.tasks import empty_bin

pytestmark = [pytest.mark.db, pytest.mark.django_db]


@pytest.fixture
def public(host: Host) -> PublicAddress:
    """One that no host or network needs itself."""
    return PublicAddress.objects.create(host=host, address="198.51.100.12")


def leads(network: Network) -> tuple[int, int]:
    """How many forwards and host names the network's host is told of."""
    spec = network_spec(network)
    return len(spec["forwards"]), len(spec["host_names"])


def finish_all() -> None:
    for job in Job.objects.filter(status="queued").order_by("kind", "pk"):
        finish_job(job)


def test_in_the_bin_it_is_off_and_closed_and_keeps_what_is_its(
    actor: Actor, vm: Vm, network: Network, host_name: HostName
) -> None:
    assert leads(network) == (1, 1)
    binned = bin_vm(actor, vm.uuid)
    spec = build_spec(binned)
    assert (spec["present"], spec["power"], spec["force"]) == (True, "off", True)
    assert leads(network) == (0, 0)
    assert (len(network_spec(network)["reservations"]), PortClaim.objects.count()) == (1, 1)
    finish_all()
    vm.refresh_from_db()
    assert vm.state.value == "in_bin"
    assert Forward.objects.get().state.value == "paused"
    assert AuditEvent.objects.get(action="vm.bin").data["forwards"] == 1


def test_taken_back_all_leads_to_it_again(
    actor: Actor, vm: Vm, network: Network, host_name: HostName
) -> None:
    bin_vm(actor, vm.uuid)
    finish_all()
    back = restore_vm(actor, vm.uuid)
    assert leads(network) == (1, 1)
    assert build_spec(back)["power"] == "off"
    finish_all()
    assert Forward.objects.get().state.value == "active"
    assert build_spec(set_power(actor, vm.uuid, "on"))["power"] == "on"


def test_a_saved_guest_keeps_its_memory_in_the_bin(actor: Actor, vm: Vm) -> None:
    Vm.objects.update(power_state="saved", power="saved")
    assert build_spec(bin_vm(actor, vm.uuid))["power"] == "saved"


def test_when_its_time_is_over_it_goes_for_good_and_others_stay(
    actor: Actor, vm: Vm, network: Network, image: Image
) -> None:
    other = create_vm(actor, NewVm(name="db-1", network=network.uuid, image=image.uuid))
    bin_vm(actor, vm.uuid)
    bin_vm(actor, other.uuid)
    empty_bin()
    assert Vm.objects.filter(present=True).count() == 2
    Vm.objects.filter(pk=vm.pk).update(goes_at=timezone.now() - timedelta(seconds=1))
    empty_bin()
    assert list(Vm.objects.filter(present=True)) == [other]
    event = AuditEvent.objects.get(action="vm.delete")
    assert (event.actor, event.data["disks"]) == (None, 1)
    finish_all()
    assert not PortClaim.objects.exists()
    assert Reservation.objects.count() == 1


def test_deleted_now_it_does_not_wait(actor: Actor, vm: Vm) -> None:
    bin_vm(actor, vm.uuid)
    gone = delete_now(actor, vm.uuid)
    assert build_spec(gone)["present"] is False
    with refused(Conflict, code="deleting"):
        restore_vm(actor, vm.uuid)


def test_without_days_there_is_no_bin(actor: Actor, vm: Vm, settings: LazySettings) -> None:
    settings.KVMWEB_BIN_DAYS = 0
    assert not bin_vm(actor, vm.uuid).present


def test_nothing_is_changed_in_the_bin_and_its_name_stays_its_own(
    actor: Actor, vm: Vm, network: Network, image: Image
) -> None:
    for ask in (restore_vm, delete_now):
        with refused(Conflict, code="not_in_bin"):
            ask(actor, vm.uuid)
    bin_vm(actor, vm.uuid)
    with refused(Conflict, code="in_bin"):
        set_power(actor, vm.uuid, "on")
    for change in (restart_vm, change_vm, bin_vm):
        with refused(Conflict, code="in_bin"):
            change(actor, vm.uuid)
    with refused(Conflict, "name", code="name_taken"):
        create_vm(actor, NewVm(name=vm.name, network=network.uuid, image=image.uuid))


def test_nothing_new_leads_to_what_is_in_the_bin(
    actor: Actor, vm: Vm, network: Network, image: Image, host_name: HostName, public: PublicAddress
) -> None:
    other = create_vm(actor, NewVm(name="db-1", network=network.uuid, image=image.uuid))
    finish_all()
    (there,), (here,) = ([nic.reservation for nic in each.nics.all()] for each in (vm, other))
    away = add_forward(actor, reservation=here.uuid, target_port=80)
    away_name = add_host_name(actor, reservation=here.uuid, name="db-1.example.org")
    bin_vm(actor, vm.uuid)
    kept = Forward.objects.get(reservation=there)
    both = [{"target_port": 80, "reservation": each.uuid} for each in (here, there)]
    with refused(Several, "forwards.1.reservation", code="in_bin"):
        add_forwards(actor, both)
    leading: list[Callable[[], object]] = [
        lambda: add_forward(actor, reservation=there.uuid, target_port=80),
        lambda: add_forward(
            actor, reservation=there.uuid, public_address=public.uuid, protocol="all"
        ),
        lambda: change_forward(actor, away.uuid, reservation=there.uuid),
        lambda: add_host_name(actor, reservation=there.uuid, name="more.example.org"),
        lambda: change_host_name(actor, away_name.uuid, reservation=there.uuid),
    ]
    for ask in leading:
        with refused(Conflict, "reservation", code="in_bin"):
            ask()
    changing: list[Callable[[], object]] = [
        lambda: resume_forward(actor, kept.uuid),
        lambda: change_reservation(actor, there.uuid, name="other"),
        lambda: apply_to_reservation(actor, there.uuid, rule_sets=[]),
        lambda: add_nic(actor, vm.uuid, network=network.uuid),
        lambda: add_disk(actor, vm.uuid, size_gib=1),
    ]
    for ask in changing:
        with refused(Conflict, code="in_bin"):
            ask()
    change_forward(actor, kept.uuid, reservation=there.uuid, note="Its note may change.")
    change_host_name(actor, host_name.uuid, reservation=there.uuid, note="So may this.")
    change_forward(actor, kept.uuid, reservation=here.uuid)


def test_a_network_of_vms_in_the_bin_says_so(actor: Actor, vm: Vm, network: Network) -> None:
    bin_vm(actor, vm.uuid)
    with pytest.raises(Conflict, match="1 of them in the recycle bin") as caught:
        delete_network(actor, network.uuid)
    assert "for good" in caught.value.remedy


def test_pages_offer_no_way_to_what_is_in_the_bin_and_say_why_there_is_none(
    alice: User, actor: Actor, vm: Vm, host_name: HostName, client: Client
) -> None:
    client.force_login(alice)
    target, forward = vm.nics.get().reservation, Forward.objects.get()
    for page in ("/forwards/new/", "/host-names/new/"):
        assert str(target.uuid) in client.get(page).content.decode()
    bin_vm(actor, vm.uuid)
    for page in ("/forwards/new/", "/host-names/new/"):
        assert str(target.uuid) not in client.get(page).content.decode()
    assert "in the recycle bin" in client.get(f"/forwards/{forward.uuid}/").content.decode()
    for kind, uuid in (("forwards", forward.uuid), ("host-names", host_name.uuid)):
        said = client.get(f"/api/v1/{kind}/{uuid}/explain/").json()
        assert (said["reachable"], said["broken"]) == (False, "binned")
    shown = client.get(f"/api/v1/vms/{vm.uuid}/").json()
    assert shown["public_endpoints"] == []


def test_a_vm_in_the_bin_may_be_deleted_past_it(actor: Actor, vm: Vm) -> None:
    bin_vm(actor, vm.uuid)
    assert not delete_vm(actor, vm.uuid).present


def test_readers_and_strangers_neither_bin_nor_take_back(bob: User, mallory: User, vm: Vm) -> None:
    for ask in (bin_vm, restore_vm, delete_now):
        with refused(Forbidden):
            ask(Actor(bob), vm.uuid)
        with refused(NotFound):
            ask(Actor(mallory), vm.uuid)


def test_the_bin_is_a_page_and_a_filter(alice: User, actor: Actor, vm: Vm, client: Client) -> None:
    client.force_login(alice)
    assert b"The bin is empty" in client.get("/vms/bin/").content
    client.post(f"/vms/{vm.uuid}/delete/", {"name": vm.name})
    assert vm.name.encode() in client.get("/vms/bin/").content
    assert b"Bin (1)" in client.get("/vms/").content
    lists = {
        wish: len(client.get("/api/v1/vms/", {"in_bin": wish}).json()["results"])
        for wish in ("true", "false")
    }
    assert lists == {"true": 1, "false": 0}
    page = client.get(f"/vms/{vm.uuid}/").content.decode()
    assert "In the recycle bin" in page
    assert 'value="start"' not in page
    assert b"cannot be undone" in client.get(f"/vms/{vm.uuid}/delete/").content
    client.post(f"/vms/{vm.uuid}/restore/")
    assert Vm.objects.get().goes_at is None
