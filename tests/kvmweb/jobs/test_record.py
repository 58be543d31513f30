"""What hosts report is written down: once, in order, and only about what is theirs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from django.utils import timezone

from kvmweb.core.envelope import seal
from kvmweb.host.progress import Outcome, Step
from kvmweb.hosts import tasks
from kvmweb.hosts.models import Host
from kvmweb.jobs.models import Job, Status
from kvmweb.jobs.record import record
from kvmweb.jobs.steps import fold
from kvmweb.projects.actions import Actor
from networks.actions import change_network
from networks.models import Forward, Network
from tests.cast import report, start_job
from tests.refusals import rows
from vms.actions import change_vm, set_power
from vms.models import Vm
from vms.spec_from_rows import record_observed
from vms.tasks import observed

pytestmark = [pytest.mark.db, pytest.mark.django_db]


@pytest.fixture
def running(actor: Actor, network: Network) -> Job:
    change_network(actor, network.uuid, name="office")
    return start_job(Network.objects.get().job)


def message(job: Job, *, outcome: Outcome | None = None, steps: tuple[Step, ...] = ()) -> Any:
    at = datetime.now(UTC).isoformat()
    return {
        "job": str(job.uuid),
        "attempt": 1,
        "steps": [{"at": at, **msgspec.to_builtins(step)} for step in steps],
        "outcome": msgspec.to_builtins(outcome),
    }


def sealed(host: str, key: str, payload: object) -> dict[str, Any]:
    return {**seal(host, key, payload)}


def good(job: Job, **more: Any) -> Outcome:
    return Outcome(ok=True, generation=job.generation or 0, **more)


def test_steps_are_numbered_without_a_gap_and_renew_the_lease(running: Job) -> None:
    Job.objects.update(lease_until=timezone.now())
    report(running, Step(key="a", sentence="Looking", state="running"))
    report(running, Step(key="a", sentence="Looked"), Step(key="b", sentence="Changed"))
    assert [event.seq for event in running.events.all()] == [1, 2, 3, 4, 5]
    steps = fold(running.events.all())
    assert [(step.sentence, step.state) for step in steps] == [
        (f"Host h1 took the job: {running.title}", "done"),
        ("Looked", "done"),
        ("Changed", "done"),
    ]
    running.refresh_from_db()
    assert running.lease_until is not None
    assert running.lease_until > timezone.now() + timedelta(seconds=10)


def test_a_good_end_is_what_was_applied(running: Job) -> None:
    report(running, outcome=good(running))
    running.refresh_from_db()
    network = Network.objects.get()
    assert (running.status, running.payload) == (Status.SUCCEEDED, None)
    assert running.finished_at is not None
    assert network.applied_generation == network.generation
    assert network.state.value == "active"


def test_a_bad_end_says_why_and_applies_nothing(running: Job) -> None:
    applied = Network.objects.get().applied_generation
    outcome = Outcome(
        ok=False, generation=0, code="subnet_in_use", message="It is in use.", remedy="Choose."
    )
    report(running, outcome=outcome)
    running.refresh_from_db()
    network = Network.objects.get()
    assert (running.status, running.code, running.message, running.remedy) == (
        Status.FAILED,
        "subnet_in_use",
        "It is in use.",
        "Choose.",
    )
    assert network.applied_generation == applied
    assert network.state.value == "needs_attention"


def test_a_crash_keeps_its_traceback(running: Job) -> None:
    report(running, outcome=Outcome(ok=False, generation=0, code="crashed", traceback="Traceback"))
    running.refresh_from_db()
    assert (running.status, running.traceback) == (Status.CRASHED, "Traceback")


def test_what_comes_after_the_end_is_dropped(running: Job) -> None:
    report(running, outcome=good(running))
    before = rows()
    report(running, Step(key="late", sentence="Late"), outcome=Outcome(ok=False, generation=0))
    assert rows() == before


def test_another_hosts_job_is_not_its_to_report(running: Job) -> None:
    Host.objects.create(name="h2")
    before = rows()
    record("h2", message(running, outcome=good(running)))
    assert rows() == before


def test_what_no_host_has_been_sent_cannot_be_reported(actor: Actor, network: Network) -> None:
    change_network(actor, network.uuid, name="office")
    queued = Job.objects.get(status=Status.QUEUED)
    before = rows()
    record("h1", message(queued, outcome=Outcome(ok=True, generation=99)))
    assert rows() == before


def test_one_object_that_the_kernel_refused_needs_attention_alone(
    forward: Forward, running: Job
) -> None:
    report(running, outcome=good(running, attention={str(forward.uuid): "The port is taken."}))
    fresh = Forward.objects.get(pk=forward.pk)
    assert (fresh.problem, fresh.state.value) == ("The port is taken.", "needs_attention")
    assert fresh.reservation.state.value == "active"
    assert Network.objects.get().state.value == "needs_attention"


@pytest.mark.parametrize(
    "broken",
    [
        None,
        "text",
        {},
        {"host": "h1"},
        {"host": "h1", "body": "{}", "mac": "00"},
        {"host": "nobody", "body": "{}", "mac": "00"},
        {"host": ["h1"], "body": "{}", "mac": "00"},
        {"host": "h1", "body": 7, "mac": None},
    ],
)
@pytest.mark.parametrize("task", [tasks.record, tasks.heartbeat, observed])
def test_what_is_not_sealed_by_a_host_is_dropped(running: Job, task: Any, broken: Any) -> None:
    before = rows()
    task(broken)
    assert rows() == before


def test_a_seal_of_another_host_is_no_seal(running: Job) -> None:
    other = Host.objects.create(name="h2")
    before = rows()
    tasks.record(sealed("h1", other.key, message(running, outcome=good(running))))
    assert rows() == before


def test_a_sealed_report_is_recorded(running: Job, host: Host) -> None:
    tasks.record(sealed("h1", host.key, message(running, outcome=good(running))))
    running.refresh_from_db()
    assert running.status == Status.SUCCEEDED


def test_a_heartbeat_is_its_process_and_what_it_saw(host: Host) -> None:
    Host.objects.update(monitor_seen_at=None, vm_seen_at=None)
    facts = {"cpus": 2}
    for process, seen in (("monitor", facts), ("vm", None)):
        payload = {"process": process, "at": datetime.now(UTC).isoformat(), "facts": seen}
        tasks.heartbeat(sealed("h1", host.key, payload))
    host.refresh_from_db()
    assert host.facts == facts
    assert not host.is_silent
    assert host.vm_seen_at is not None


def seen(vm: Vm, state: str, *, complete: bool = True, at: datetime | None = None) -> Any:
    return {
        "at": (at or datetime.now(UTC)).isoformat(),
        "complete": complete,
        "vms": [{"subject": str(vm.uuid), "state": state, "reason": "shutdown"}],
    }


def test_what_the_monitor_sees_is_the_power_state(vm: Vm, host: Host) -> None:
    observed(sealed("h1", host.key, seen(vm, "off")))
    vm.refresh_from_db()
    assert (vm.power_state, vm.power_reason, vm.state.value) == ("off", "shutdown", "off")


def test_an_older_look_does_not_overwrite_a_newer(vm: Vm, host: Host) -> None:
    record_observed(host, seen(vm, "paused"))
    record_observed(host, seen(vm, "off", at=datetime.now(UTC) - timedelta(minutes=1)))
    vm.refresh_from_db()
    assert vm.power_state == "paused"


def test_a_vm_that_is_not_there_is_off_and_stays_in_the_panel(vm: Vm, host: Host) -> None:
    record_observed(host, {"at": datetime.now(UTC).isoformat(), "complete": True, "vms": []})
    vm.refresh_from_db()
    assert vm.power_state == "off"
    assert "not defined" in vm.power_reason


def test_a_partial_look_says_nothing_of_the_rest(vm: Vm, host: Host) -> None:
    record_observed(host, {"at": datetime.now(UTC).isoformat(), "complete": False, "vms": []})
    vm.refresh_from_db()
    assert vm.power_state == "running"


def test_a_host_says_nothing_of_anothers_vms(vm: Vm) -> None:
    other = Host.objects.create(name="h2")
    record_observed(other, seen(vm, "crashed"))
    vm.refresh_from_db()
    assert vm.power_state == "running"


def test_a_state_nobody_knows_is_ignored(vm: Vm, host: Host) -> None:
    record_observed(host, seen(vm, "levitating"))
    vm.refresh_from_db()
    assert vm.power_state == "running"


def test_a_change_that_waits_for_a_start_is_said(actor: Actor, vm: Vm) -> None:
    changed = change_vm(actor, vm.uuid, vcpus=2)
    job = start_job(changed.job)
    report(job, outcome=good(job, observed={"restart_needed": True, "state": "running"}))
    assert Vm.objects.get().restart_needed
    job = start_job(set_power(actor, vm.uuid, "off").job)
    report(job, outcome=good(job, observed={"restart_needed": False, "state": "off"}))
    vm.refresh_from_db()
    assert (vm.restart_needed, vm.power_state) == (False, "off")
