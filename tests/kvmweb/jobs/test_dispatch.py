"""From a request to a spec on its way: joined, started when it may, sent sealed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from django.db import IntegrityError, transaction

from kvmweb.core.broker import SETTINGS
from kvmweb.core.envelope import open_
from kvmweb.core.errors import Conflict
from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.jobs import dispatch
from kvmweb.jobs.actions import retry_job
from kvmweb.jobs.dispatch import sync
from kvmweb.jobs.models import Job, Status
from kvmweb.jobs.sweep import sweep
from kvmweb.projects.actions import Actor
from networks.actions import add_forward, change_network
from networks.models import Network, Reservation
from tests.cast import fail_job, finish_job, start_job
from tests.messages import drain
from tests.refusals import refused
from vms.actions import NewNetwork, NewVm, create_vm, delete_vm
from vms.models import Image, Vm

pytestmark = [pytest.mark.db, pytest.mark.django_db]


@pytest.fixture
def new_vm(actor: Actor, public_address: PublicAddress, image: Image) -> Vm:
    """Asked for, with a network that is not there yet."""
    return create_vm(actor, NewVm(name="web-1", network=NewNetwork(name="home"), image=image.uuid))


def only_network() -> Network:
    return Network.objects.get()


def payload_of(message: tuple[str, list[Any]], host: Host) -> dict[str, Any]:
    return open_(host.key, message[1][0])


def test_a_hundred_changes_are_one_queued_job_and_one_spec(
    actor: Actor, network: Network, reservation: Reservation
) -> None:
    before = only_network().generation
    for number in range(100):
        add_forward(actor, reservation=reservation.uuid, target_port=80, public_port=10000 + number)
    jobs = Job.objects.of("network", network.uuid).unfinished()
    assert jobs.count() == 1
    job = start_job(only_network().job)
    assert job.generation == before + 100
    assert job.payload is not None
    assert len(job.payload["spec"]["forwards"]) == 101


def test_what_comes_while_a_job_runs_waits_for_the_next(actor: Actor, network: Network) -> None:
    change_network(actor, network.uuid, name="one")
    running = start_job(only_network().job)
    change_network(actor, network.uuid, name="two")
    change_network(actor, network.uuid, name="three")
    sync("network", network.uuid)
    statuses = Job.objects.of("network", network.uuid).unfinished().values_list("status", flat=True)
    assert sorted(statuses) == ["queued", "running"]
    assert running.payload is not None
    assert running.payload["spec"]["name"] == "one"


def test_the_database_allows_one_running_and_one_queued_job(network: Network) -> None:
    fields = {"kind": "network", "subject": network.uuid, "subject_name": "x", "title": "x"}
    for status in (Status.QUEUED, Status.RUNNING):
        Job.objects.create(status=status, **fields)
        with pytest.raises(IntegrityError), transaction.atomic():
            Job.objects.create(status=status, **fields)


def test_the_spec_is_published_sealed_to_the_hosts_own_queue(
    actor: Actor, network: Network, host: Host, django_capture_on_commit_callbacks: Any
) -> None:
    drain("control")
    drain("host.h1.net")
    with django_capture_on_commit_callbacks(execute=True):
        change_network(actor, network.uuid, name="office")
    assert drain("control") == [("kvmweb.jobs.sync", ["network", str(network.uuid)])]
    with django_capture_on_commit_callbacks(execute=True):
        sync("network", network.uuid)
    (message,) = drain("host.h1.net")
    payload = payload_of(message, host)
    job = Job.objects.get(status=Status.RUNNING)
    assert message[0] == "networks.apply"
    assert (payload["job"], payload["kind"], payload["attempt"]) == (str(job.uuid), "network", 1)
    assert payload["spec"]["name"] == "office"
    assert payload["spec"]["generation"] == job.generation == only_network().generation


def test_nothing_is_sent_for_a_change_that_was_not_committed(
    actor: Actor, network: Network, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks() as callbacks, transaction.atomic():
        change_network(actor, network.uuid, name="office")
        transaction.set_rollback(True)
    assert callbacks == []


def test_a_vm_waits_for_its_network(new_vm: Vm) -> None:
    sync("vm", new_vm.uuid)
    assert Job.objects.get(kind="vm").status == Status.QUEUED
    finish_job(only_network().job)
    sync("vm", new_vm.uuid)
    assert Job.objects.get(kind="vm").status == Status.RUNNING


def test_the_end_of_the_network_rings_for_the_vm(
    new_vm: Vm, django_capture_on_commit_callbacks: Any
) -> None:
    start = start_job(only_network().job)
    with django_capture_on_commit_callbacks(execute=True):
        drain("control")
        dispatch.finish(start, Status.SUCCEEDED)
    assert ("kvmweb.jobs.sync", ["vm", str(new_vm.uuid)]) in drain("control")


def test_a_vm_shows_its_networks_steps_as_its_first(new_vm: Vm) -> None:
    first = start_job(only_network().job)
    job = Job.objects.get(kind="vm")
    assert [event.sentence for event in job.events.all()] == [f"Waiting for host h1: {first.title}"]


def test_a_vm_fails_with_its_networks_reason(new_vm: Vm) -> None:
    fail_job(only_network().job, "The subnet is in use.", remedy="Choose another subnet.")
    sync("vm", new_vm.uuid)
    job = Job.objects.get(kind="vm")
    assert (job.status, job.code) == (Status.FAILED, "network_failed")
    assert "home" in job.message
    assert "The subnet is in use." in job.message
    assert job.remedy == "Choose another subnet."
    assert Vm.objects.get().state.value == "needs_attention"


def test_retry_of_the_vm_repairs_both(actor: Actor, new_vm: Vm) -> None:
    fail_job(only_network().job, "The subnet is in use.")
    sync("vm", new_vm.uuid)
    failed = Job.objects.get(kind="vm")
    again = retry_job(actor, failed.uuid)
    assert again.pk != failed.pk
    assert again.title == "Create VM web-1"
    finish_job(only_network().job)
    finish_job(again, state="running")
    assert Vm.objects.get().state.value == "running"
    assert only_network().state.value == "active"


def test_retry_of_the_network_is_enough_for_a_vm_that_still_waits(actor: Actor, new_vm: Vm) -> None:
    fail_job(only_network().job, "The subnet is in use.")
    retry_job(actor, Job.objects.get(kind="network").uuid)
    sync("vm", new_vm.uuid)
    assert Job.objects.get(kind="vm").status == Status.QUEUED
    finish_job(only_network().job)
    sync("vm", new_vm.uuid)
    assert Job.objects.get(kind="vm").status == Status.RUNNING


def test_a_job_that_has_not_ended_is_not_retried(actor: Actor, new_vm: Vm) -> None:
    job = Job.objects.get(kind="vm")
    with refused(Conflict):
        retry_job(actor, job.uuid)


def test_a_queued_job_of_what_is_gone_is_cancelled(actor: Actor, vm: Vm) -> None:
    deleted = delete_vm(actor, vm.uuid)
    finish_job(deleted.job)
    Job.objects.create(kind="vm", subject=vm.uuid, subject_name="web-1", title="Start VM web-1")
    sync("vm", vm.uuid)
    assert Job.objects.get(title="Start VM web-1").status == Status.CANCELLED


def test_a_spec_that_cannot_be_built_ends_its_job_and_holds_up_no_other(
    actor: Actor, network: Network, vm: Vm
) -> None:
    change_network(actor, network.uuid, name="office")
    # No mask has 99 bits: only a bug could write this.
    Network.objects.update(ipv4_subnet="10.60.0.0/99")
    broken = only_network().job
    other = Job.objects.create(
        kind="vm", subject=vm.uuid, subject_name="web-1", title="Repair VM web-1"
    )
    sweep()
    assert broken is not None
    broken.refresh_from_db()
    assert (broken.status, broken.code) == (Status.CRASHED, "crashed")
    assert "NetmaskValueError" in broken.traceback
    assert broken.remedy
    other.refresh_from_db()
    assert other.status == Status.RUNNING


def test_an_absent_broker_loses_nothing(
    actor: Actor,
    network: Network,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: Any,
) -> None:
    absent = Celery("absent", set_as_current=False)
    absent.conf.update(SETTINGS, broker_url=f"redis+socket://{tmp_path}/redis.sock")
    monkeypatch.setattr(dispatch, "app", absent)
    with django_capture_on_commit_callbacks(execute=True):
        change_network(actor, network.uuid, name="office")
    with django_capture_on_commit_callbacks(execute=True):
        sweep()
    assert caplog.text.count("broker away") == 2
    job = Job.objects.get(status=Status.RUNNING)
    assert job.lease_until is not None
    assert job.payload is not None
