"""What got lost between two processes is rung again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from kvmweb.core.envelope import open_
from kvmweb.hosts.models import Host
from kvmweb.jobs.dispatch import LONGEST_LEASE
from kvmweb.jobs.models import Job, Status
from kvmweb.jobs.sweep import sweep
from kvmweb.projects.actions import Actor
from networks.actions import change_network
from networks.models import Network
from tests.cast import start_job
from tests.messages import drain

pytestmark = [pytest.mark.db, pytest.mark.django_db]


@pytest.fixture
def running(actor: Actor, network: Network) -> Job:
    change_network(actor, network.uuid, name="office")
    return start_job(Network.objects.get().job)


def expire() -> None:
    Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))


def test_a_queued_job_that_nobody_started_is_started(actor: Actor, network: Network) -> None:
    change_network(actor, network.uuid, name="office")
    sweep()
    assert Job.objects.latest("pk").status == Status.RUNNING


def test_a_job_with_a_lease_is_left_alone(running: Job) -> None:
    sweep()
    running.refresh_from_db()
    assert running.attempt == 1


def test_a_job_past_its_lease_is_sent_again_with_the_very_same(
    actor: Actor, running: Job, host: Host, django_capture_on_commit_callbacks: Any
) -> None:
    change_network(actor, running.subject, name="changed-since")
    sent = running.payload
    expire()
    drain("host.h1.net")
    with django_capture_on_commit_callbacks(execute=True):
        sweep()
    ((_task, (envelope,)),) = drain("host.h1.net")
    payload = open_(host.key, envelope)
    assert payload.pop("attempt") == 2
    assert payload == sent
    running.refresh_from_db()
    assert (running.status, running.payload) == (Status.RUNNING, sent)


def test_leases_grow_to_a_limit(running: Job) -> None:
    lengths = []
    for attempt in (1, 2, 500):
        Job.objects.update(attempt=attempt)
        expire()
        sweep()
        running.refresh_from_db()
        assert running.lease_until is not None
        lengths.append(running.lease_until - timezone.now())
    assert lengths[0] < lengths[1] < lengths[2] <= LONGEST_LEASE


def test_a_running_job_of_what_is_gone_is_cancelled(running: Job) -> None:
    Network.objects.all().delete()
    expire()
    sweep()
    running.refresh_from_db()
    assert running.status == Status.CANCELLED


def test_a_second_sweep_changes_nothing(running: Job) -> None:
    expire()
    sweep()
    sweep()
    running.refresh_from_db()
    assert running.attempt == 2
