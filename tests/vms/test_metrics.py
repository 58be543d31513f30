"""What hosts measured is kept for the VMs that are theirs, and shown to whose it is."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from kvmweb.core.envelope import seal
from kvmweb.core.errors import Invalid
from kvmweb.hosts.models import Host
from kvmweb.metrics.rings import Rings
from kvmweb.metrics.series import HOST, VM
from kvmweb.metrics.writing import Writer, writer
from tests.kvmweb.api.conftest import V1, Program
from vms import metrics
from vms.models import Vm
from vms.tasks import measured

pytestmark = pytest.mark.db

BUSY = [1.5, 2.0**20, None, 2.0**21, *[float(each) for each in range(9)]]


@pytest.fixture
def rings(settings: Any, tmp_path: Path) -> Rings:
    settings.KVMWEB_METRICS = str(tmp_path)
    return Rings(tmp_path)


def slot(ago: float = 0) -> int:
    return int((timezone.now().timestamp() - ago) // 10)


def one_round(at: int, vms: dict[str, Any]) -> dict[str, Any]:
    return {"slot": at, "host": [0.5, 1e9, len(vms)], "vms": vms}


def test_a_host_measures_its_own_guests_and_itself(rings: Rings, host: Host, vm: Vm) -> None:
    other, stranger = Host.objects.create(name="h2"), str(uuid4())
    now = slot()
    rounds = [one_round(now - at, {str(vm.uuid): BUSY, stranger: BUSY}) for at in (2, 1)]
    measured(dict(seal(host.name, host.key, {"rounds": rounds})))
    measured(dict(seal(host.name, "another key", {"rounds": rounds})))
    metrics.record(other, {"rounds": [one_round(now, {str(vm.uuid): BUSY})]})
    writer().settle()
    assert rings.fine(VM, vm.uuid, now - 3, now) == [None, tuple(BUSY), tuple(BUSY), None]
    assert rings.fine(HOST, host.uuid, now - 1, now) == [(0.5, 1e9, 2.0), None]
    assert rings.fine(HOST, other.uuid, now, now) == [(0.5, 1e9, 1.0)]
    assert not list(Path(rings._folder).rglob(stranger))


def test_what_is_too_old_or_yet_to_come_is_not_kept(rings: Rings, host: Host, vm: Vm) -> None:
    slots = [slot(7200), slot(-600), 0]
    metrics.record(host, {"rounds": [one_round(at, {str(vm.uuid): BUSY}) for at in slots]})
    writer().settle()
    assert not list(Path(rings._folder).rglob(str(vm.uuid)))


@pytest.mark.parametrize(
    "figures",
    [BUSY[1:], [*BUSY, 1.0], [-1.0, *BUSY[1:]], ["1", *BUSY[1:]], [1e300, *BUSY[1:]]],
)
def test_what_cannot_be_true_is_dropped_whole(
    rings: Rings, host: Host, vm: Vm, figures: list[Any]
) -> None:
    payload = {"rounds": [one_round(slot(), {str(vm.uuid): figures})]}
    with pytest.raises(Invalid):
        metrics.record(host, payload)
    measured(dict(seal(host.name, host.key, payload)))
    writer().settle()
    assert not [path for path in Path(rings._folder).rglob("*") if path.is_file()]


@pytest.mark.pure
def test_a_disk_that_does_not_keep_up_costs_samples_and_no_time(settings: Any) -> None:
    slow, goes_on, done = Writer(most=2), threading.Event(), []
    assert slow.later(lambda _: goes_on.wait())
    assert slow.later(lambda _: done.append(1))
    assert not slow.later(lambda _: done.append(2))
    goes_on.set()
    slow.settle()
    assert slow.later(lambda _: 1 / 0)
    slow.settle()
    assert slow.later(lambda _: done.append(3))
    slow.settle()
    assert done == [1, 3]


def measure(rings: Rings, host: Host, vm: Vm, *, minutes: int = 10) -> None:
    """As if its host had told of the last minutes."""
    slots = range(slot(60 * minutes), slot())
    rings.put(VM, vm.uuid, {at: tuple(BUSY) for at in slots})
    rings.put(HOST, host.uuid, dict.fromkeys(slots, (0.5, 1000000000.0, 1.0)))


def test_programs_read_the_time_and_step_they_want(
    rings: Rings, host: Host, vm: Vm, bob: User
) -> None:
    measure(rings, host, vm)
    address, program = f"vms/{vm.uuid}/metrics/", Program(bob)
    answer = program.get(address)
    assert answer.status_code == 200
    found = answer.data
    assert found["step"] == 10
    assert found["fields"][0] == {"name": "cpu", "unit": "cores"}
    assert set(found["values"]) == set(VM.names)
    assert len(found["values"]["cpu"]) in (360, 361)
    assert {None, 1.5} == set(found["values"]["cpu"])
    assert set(found["values"]["memory_used"]) == {None}
    begin = timezone.now() - timedelta(minutes=9)
    some = {"from": begin.isoformat(), "to": (begin + timedelta(minutes=4)).isoformat()}
    found = program.get(address, **some, step="60").data
    assert found["values"]["cpu"][:4] == [1.5] * 4
    assert program.get(address, **some, step="7").data["field"] == "step"
    assert program.get(address, **{"from": "yesterday"}).data["field"] == "from"
    assert program.get(address, until="now").data["field"] == "until"


def test_who_has_it_already_is_told_so(rings: Rings, host: Host, vm: Vm, bob: User) -> None:
    measure(rings, host, vm)
    address, program = f"vms/{vm.uuid}/metrics/", Program(bob)
    begin = timezone.now() - timedelta(minutes=9)
    some = {"from": begin.isoformat(), "to": (begin + timedelta(minutes=4)).isoformat()}
    first = program.get(address, **some)
    again = program.client.get(V1 + address, some, headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    rings.put(VM, vm.uuid, {slot(360): (9.0, *BUSY[1:])})
    changed = program.client.get(V1 + address, some, headers={"If-None-Match": first["ETag"]})
    assert changed.status_code == 200
    assert 9.0 in changed.data["values"]["cpu"]


def test_a_page_says_in_a_table_what_its_charts_show(
    rings: Rings, host: Host, vm: Vm, bob: User, client: Client
) -> None:
    client.force_login(bob)
    address = reverse("vm-metrics", args=[vm.uuid])
    assert b"No data yet. Figures" in client.get(address).content
    Vm.objects.filter(pk=vm.pk).update(vcpus=3)
    measure(rings, host, vm)
    for span in ("", "?span=1h", "?span=24h", "?span=nonsense"):
        page = client.get(address + span).content.decode()
        assert '<td class="number" data-label="CPU">50.0 %</td>' in page
        assert "1 MiB" in page
    assert (
        '<td class="number">50.0 %</td>' not in client.get(f"{address}?span=90d").content.decode()
    )


def test_a_day_costs_no_more_questions_to_the_database_than_an_hour(
    rings: Rings, host: Host, vm: Vm, bob: User
) -> None:
    measure(rings, host, vm)
    counts, program = [], Program(bob)
    program.get("vms/")  # the token is used
    for hours in (1, 23):
        begin = timezone.now() - timedelta(hours=hours)
        with CaptureQueriesContext(connection) as asked:
            program.get(f"vms/{vm.uuid}/metrics/", **{"from": begin.isoformat()})
        counts.append(len(asked))
    assert counts[0] == counts[1] < 20
