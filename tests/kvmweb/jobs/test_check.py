"""A check compares the host with what should be there, beside whatever else goes on."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from kvmweb.core.errors import Forbidden, NotFound
from kvmweb.host.progress import Outcome, Step
from kvmweb.jobs.actions import retry_job
from kvmweb.jobs.dispatch import sync
from kvmweb.jobs.models import Job, Status
from kvmweb.projects.actions import Actor
from networks.actions import change_network, check_network
from networks.models import Network
from tests.cast import report
from vms.actions import check_vm
from vms.models import Vm

pytestmark = [pytest.mark.db, pytest.mark.django_db]


def only_network() -> Network:
    return Network.objects.get()


def started(job: Job) -> Job:
    sync(job.kind, job.subject)
    job.refresh_from_db()
    return job


def test_a_check_raises_no_generation_and_is_no_objects_newest_job(
    actor: Actor, network: Network
) -> None:
    job = check_network(actor, network.uuid)
    after = only_network()
    assert (after.generation, after.job) == (network.generation, network.job)
    assert after.state == network.state
    assert (job.only_checks, job.title) == (True, "Check network home")


def test_what_it_found_is_shown_and_changes_nothing(actor: Actor, network: Network) -> None:
    job = started(check_network(actor, network.uuid))
    assert job.payload is not None
    assert job.payload["only_check"] is True
    found = Step(key="check-1", sentence="A repair would do this: Created bridge kw1")
    report(job, found, outcome=Outcome(ok=True, generation=0, attention={"x": "y"}))
    job.refresh_from_db()
    assert job.status == Status.SUCCEEDED
    assert job.events.latest("seq").sentence == found.sentence
    assert only_network().attention == {}
    assert only_network().applied_generation == network.applied_generation


def test_a_change_does_not_join_a_check_nor_wait_for_it(actor: Actor, network: Network) -> None:
    looking = started(check_network(actor, network.uuid))
    waiting = check_network(actor, network.uuid)
    change_network(actor, network.uuid, name="office")
    change = only_network().job
    assert change is not None
    assert started(change).status == Status.RUNNING
    assert change.payload is not None
    assert change.payload["only_check"] is False
    assert check_network(actor, network.uuid).pk == waiting.pk
    report(looking, outcome=Outcome(ok=True, generation=0))
    assert started(waiting).status == Status.RUNNING


def test_a_vm_is_checked_without_waiting_for_its_network(
    actor: Actor, vm: Vm, network: Network
) -> None:
    change_network(actor, network.uuid, name="office")
    assert started(check_vm(actor, vm.uuid)).status == Status.RUNNING


def test_retrying_a_check_is_another_check(actor: Actor, network: Network) -> None:
    job = started(check_network(actor, network.uuid))
    report(job, outcome=Outcome(ok=False, generation=0, code="host_busy", message="Busy."))
    again = retry_job(actor, job.uuid)
    assert again.only_checks
    assert only_network().generation == network.generation


def test_only_who_may_change_it_may_have_it_checked(
    bob: User, mallory: User, network: Network
) -> None:
    with pytest.raises(Forbidden):
        check_network(Actor(bob), network.uuid)
    with pytest.raises(NotFound):
        check_network(Actor(mallory), network.uuid)
