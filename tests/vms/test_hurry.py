"""A wish does not wait for a guest that takes its time to shut down."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings

from kvmweb.host.progress import Outcome
from kvmweb.hosts.models import Host
from kvmweb.projects.actions import Actor
from tests.asking import answering
from tests.cast import report, start_job
from tests.lab.broker import Broker
from vms.actions import set_power
from vms.models import Vm

pytestmark = [pytest.mark.db, pytest.mark.django_db]


@pytest.fixture
def broker(tmp_path: Path, settings: LazySettings) -> Iterator[Broker]:
    made = Broker(tmp_path)
    made.start()
    settings.REDIS_URL = f"unix://{made.socket}"
    yield made
    made.stop()


def test_forced_off_does_not_wait_for_a_shutdown_under_way(
    actor: Actor, vm: Vm, host: Host, broker: Broker, django_capture_on_commit_callbacks: Any
) -> None:
    heard: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    stopping = start_job(set_power(actor, vm.uuid, "off").job)
    with answering(host, broker, {"hurry vm": heard.put}):
        with django_capture_on_commit_callbacks(execute=True):
            forced = set_power(actor, vm.uuid, "off", force=True)
        wish = heard.get(timeout=60)
    assert wish == {"subject": str(vm.uuid), "generation": forced.generation}
    gave_way = Outcome(ok=False, generation=1, code="overtaken", message="Gave way.")
    report(stopping, outcome=gave_way)
    stopping.refresh_from_db()
    assert stopping.status == "cancelled"
    started = start_job(forced.job)
    assert started.payload
    assert started.payload["spec"]["force"] is True
