"""What hosts measured is kept for the VMs that are theirs, and shown to whose it is."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from kvmweb.core.envelope import seal
from kvmweb.core.errors import Invalid
from kvmweb.hosts.models import Host
from kvmweb.metrics.rings import Rings
from kvmweb.metrics.series import HOST, VM
from kvmweb.metrics.writing import Writer, writer
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
