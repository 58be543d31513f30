"""Snapshots as people ask for them: what the host is told, what it said, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from kvmweb.core.errors import Conflict, Forbidden, Invalid, NotFound
from kvmweb.host.progress import Outcome
from kvmweb.hosts.models import Host
from kvmweb.projects.actions import Actor
from kvmweb.projects.models import AuditEvent
from networks.models import Network
from tests.cast import fail_job, finish_job, kept_snapshot, missing, report, start_job
from tests.refusals import refused
from vms.actions import (
    add_disk,
    add_nic,
    delete_snapshot,
    go_back,
    grow_disk,
    remove_disk,
    remove_nic,
    set_power,
    take_snapshot,
)
from vms.actions.snapshots import MOST_SNAPSHOTS
from vms.models import Snapshot, Vm
from vms.spec_from_rows import build_spec
from vms.views.snapshots import Branch, tree

pytestmark = [pytest.mark.db, pytest.mark.django_db]


def fresh(vm: Vm) -> Vm:
    return Vm.objects.get(pk=vm.pk)


def there(vm: Vm, **changes: Any) -> dict[str, Any]:
    """What a host with all its snapshots says."""
    kept = {
        str(each.uuid): {"memory": each.memory, "memory_bytes": 5 if each.memory else 0}
        for each in vm.snapshots.present()
    }
    return {"snapshots": kept, "disk_bytes": 7, "memory_bytes": 5, "backs": vm.backs} | changes


def test_it_is_taken_once_and_the_next_one_stands_on_it(actor: Actor, vm: Vm) -> None:
    first = take_snapshot(actor, vm=vm.uuid, name=" before  the upgrade ", note="by hand")
    assert first.name == "before the upgrade"
    (told,) = build_spec(fresh(vm))["snapshots"]
    assert (told["id"], told["memory"], told["taken"]) == (str(first.uuid), True, False)
    assert told["disks"] == (str(vm.disks.get().uuid),)
    finish_job(fresh(vm).job, state="running", **there(fresh(vm), foreign_snapshots=["virsh"]))
    first.refresh_from_db()
    assert first.is_usable
    assert (first.has_memory, first.memory_bytes) == (True, 5)
    assert build_spec(fresh(vm))["snapshots"][0]["taken"] is True
    assert (fresh(vm).foreign_snapshots, fresh(vm).disk_bytes) == (["virsh"], 7)
    second = take_snapshot(actor, vm=vm.uuid, name="second")
    assert second.parent == first
    assert tree([first, second]) == [Branch(first, [Branch(second)])]


def test_one_that_failed_says_why_and_is_not_tried_again(actor: Actor, vm: Vm) -> None:
    asked = take_snapshot(actor, vm=vm.uuid, name="first")
    fail_job(fresh(vm).job, "The host has 0.5 GiB.", code="low_space")
    asked.refresh_from_db()
    assert asked.problem == "The host has 0.5 GiB."
    set_power(actor, vm.uuid, Vm.Power.ON)
    assert build_spec(fresh(vm))["snapshots"] == ()
    finish_job(fresh(vm).job, state="running", **there(fresh(vm), snapshots={}))
    with refused(Conflict, code="not_taken"):
        go_back(actor, asked.uuid)


def test_one_that_was_taken_before_its_job_failed_is_kept(actor: Actor, vm: Vm) -> None:
    asked = take_snapshot(actor, vm=vm.uuid, name="first")
    job = start_job(fresh(vm).job)
    outcome = Outcome(ok=False, generation=1, message="Later.", observed=there(fresh(vm)))
    report(job, outcome=outcome)
    asked.refresh_from_db()
    assert asked.is_usable


def test_a_vm_goes_back_by_a_count_and_stands_there(actor: Actor, vm: Vm) -> None:
    first = kept_snapshot(actor, vm, "first", memory=True)
    second = kept_snapshot(actor, vm, "second")
    assert fresh(vm).at_snapshot == second
    go_back(actor, first.uuid)
    spec = build_spec(fresh(vm))
    assert (spec["back"]["count"], spec["back"]["memory"]) == (1, True)
    assert spec["back"]["snapshot"] == str(first.uuid)
    with refused(Conflict, code="in_use"):
        delete_snapshot(actor, first.uuid)
    finish_job(fresh(vm).job, state="running", **there(fresh(vm)))
    assert (fresh(vm).at_snapshot, fresh(vm).back_to, fresh(vm).backs_done) == (first, None, 1)
    assert build_spec(fresh(vm))["back"] is None
    go_back(actor, second.uuid)
    assert build_spec(fresh(vm))["back"]["count"] == 2
    fail_job(fresh(vm).job, "Its memory is gone.")
    assert build_spec(fresh(vm))["back"] is None
    assert AuditEvent.objects.filter(action="vm.go_back").count() == 2


@pytest.mark.parametrize(
    ("state", "memory", "power"),
    [("off", True, "on"), ("off", False, "off"), ("running", False, "on"), ("saved", False, "off")],
)
def test_what_runs_afterwards_is_what_ran_or_what_has_memory(
    actor: Actor, vm: Vm, state: str, power: str, *, memory: bool
) -> None:
    first = kept_snapshot(actor, vm, "first", memory=True)
    Vm.objects.update(power_state=state)
    go_back(actor, first.uuid, memory=memory)
    assert (fresh(vm).power, fresh(vm).back_with_memory) == (power, memory)


def test_what_stood_on_a_deleted_one_stands_on_what_that_stood_on(actor: Actor, vm: Vm) -> None:
    first, second, third = (kept_snapshot(actor, vm, name) for name in ("1", "2", "3"))
    delete_snapshot(actor, second.uuid)
    assert [each["name"] for each in build_spec(fresh(vm))["snapshots"]] == ["1", "3"]
    with refused(Conflict, code="deleting"):
        go_back(actor, second.uuid)
    finish_job(fresh(vm).job, state="running", **there(fresh(vm)))
    third.refresh_from_db()
    assert third.parent == first
    assert not Snapshot.objects.filter(pk=second.pk).exists()


def test_one_that_is_gone_from_the_disk_is_said_and_kept_as_a_row(actor: Actor, vm: Vm) -> None:
    first = kept_snapshot(actor, vm)
    set_power(actor, vm.uuid, Vm.Power.ON)
    finish_job(fresh(vm).job, state="running", **there(fresh(vm), snapshots={}))
    first.refresh_from_db()
    assert first.lost
    with refused(Conflict, code="not_taken"):
        go_back(actor, first.uuid)


def test_disks_of_snapshots_stay_and_other_nics_need_another_way(
    actor: Actor, vm: Vm, network: Network
) -> None:
    add_disk(actor, vm.uuid, size_gib=1)
    finish_job(fresh(vm).job, state="running")
    first = kept_snapshot(actor, vm, memory=True)
    disk = vm.disks.all()[1]
    with refused(Conflict, "disk", code="in_snapshots"):
        remove_disk(actor, vm.uuid, disk=disk.uuid)
    grow_disk(actor, vm.uuid, disk=disk.uuid, size_gib=2)
    add_nic(actor, vm.uuid, network=network.uuid)
    remove_nic(actor, vm.uuid, nic=vm.nics.all()[0].uuid)
    finish_job(Network.objects.get().job)
    finish_job(fresh(vm).job, state="running", **there(fresh(vm)))
    with refused(Conflict, "memory", code="other_nics"):
        go_back(actor, first.uuid)
    go_back(actor, first.uuid, memory=False)


def test_what_cannot_be_kept_is_refused(actor: Actor, vm: Vm, host: Host) -> None:
    kept_snapshot(actor, vm)
    for name in ("", "x" * 64, "a\x00b"):
        with refused(Invalid, "name"):
            take_snapshot(actor, vm=vm.uuid, name=name)
    with refused(Conflict, "name", code="name_taken"):
        take_snapshot(actor, vm=vm.uuid, name="first")
    with refused(Invalid, "vm", code="no_such_vm"):
        take_snapshot(actor, vm=missing(), name="second")
    Host.objects.update(facts={**host.facts, "disk_free_gib": 1.2})
    with refused(Conflict, code="low_space"):
        take_snapshot(actor, vm=vm.uuid, name="second")
    assert take_snapshot(actor, vm=vm.uuid, name="second", memory=False)
    with refused(Conflict, code="busy"):
        take_snapshot(actor, vm=vm.uuid, name="third")
    finish_job(fresh(vm).job, state="saved")
    with refused(Conflict, code="saved"):
        take_snapshot(actor, vm=vm.uuid, name="third")
    Vm.objects.update(power_state="off")
    Snapshot.objects.bulk_create(
        Snapshot(vm=vm, name=f"s{number}") for number in range(MOST_SNAPSHOTS)
    )
    with refused(Conflict, code="too_many_snapshots"):
        take_snapshot(actor, vm=vm.uuid, name="third", memory=False)


def test_readers_and_strangers_keep_and_lose_nothing(
    actor: Actor, bob: User, mallory: User, vm: Vm
) -> None:
    first = kept_snapshot(actor, vm)
    with refused(Forbidden):
        take_snapshot(Actor(bob), vm=vm.uuid, name="x")
    with refused(Invalid, "vm"):
        take_snapshot(Actor(mallory), vm=vm.uuid, name="x")
    for who, error in ((bob, Forbidden), (mallory, NotFound)):
        with refused(error):
            go_back(Actor(who), first.uuid)
        with refused(error):
            delete_snapshot(Actor(who), first.uuid)


def test_the_page_takes_goes_back_and_deletes_what_is_confirmed(
    actor: Actor, alice: User, vm: Vm, client: Client
) -> None:
    client.force_login(alice)
    page = f"/vms/{vm.uuid}/snapshots/"
    assert "None yet" in client.get(page).content.decode()
    assert client.post(page, {"name": "first", "memory": "on"}).status_code == 302
    assert client.post(page, {"name": "second"}).status_code == 409
    finish_job(fresh(vm).job, state="running", **there(fresh(vm), foreign_snapshots=["by-virsh"]))
    first = vm.snapshots.get()
    shown = client.get(page).content.decode()
    for words in ("first", "with memory, 5\xa0bytes", "by-virsh", "take 7\xa0bytes"):
        assert words in shown
    back = f"/snapshots/{first.uuid}/back/"
    assert client.post(back, {"memory": "on"}).status_code == 400
    assert client.post(back, {"memory": "on", "sure": "on"}).status_code == 302
    assert fresh(vm).back_to == first
    finish_job(fresh(vm).job, state="running", **there(fresh(vm)))
    delete = f"/snapshots/{first.uuid}/delete/"
    assert client.post(delete).status_code == 400
    assert client.post(delete, {"sure": "on"}).status_code == 302
    assert not vm.snapshots.get().present
