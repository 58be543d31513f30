"""What networks and forwards carried is kept over time and summed up by month and project."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from kvmweb.hosts.models import Host
from kvmweb.metrics.rings import Rings
from kvmweb.metrics.series import HOST
from kvmweb.metrics.writing import writer
from kvmweb.projects.actions import Actor
from networks import usage
from networks.actions import create_network, delete_network
from networks.models import Forward, Network, Traffic
from tests.kvmweb.api.conftest import Program

pytestmark = pytest.mark.db

NOON = datetime(2026, 11, 10, 12, 0, 30, tzinfo=UTC)


@pytest.fixture
def rings(settings: Any, tmp_path: Path) -> Rings:
    settings.KVMWEB_METRICS = str(tmp_path)
    return Rings(tmp_path)


def said(
    host: Host,
    *,
    forwards: tuple[tuple[int, int, int], ...] = (),
    networks: tuple[tuple[Network, int], ...] = (),
    seconds: float | None = 10.0,
) -> None:
    """So many bytes came in altogether, a hundred bytes each packet, and half of them went out."""
    lists = {
        "forwards": [_entry(number, octets, new) for number, octets, new in forwards],
        "networks": [_entry(network.bridge, octets, 0) for network, octets in networks],
    }
    usage.record(host, lists | {"seconds": seconds})
    writer().settle()


def _entry(key: int | str, octets: int, new: int) -> list[Any]:
    return [key, 7, octets // 100, octets, 7, octets // 200, octets // 2, 7, new, 0]


def of(program: Program, kind: str, uuid: object, begin: datetime, **query: Any) -> Any:
    wanted = {"from": begin.isoformat(), "to": (begin + timedelta(minutes=5)).isoformat()}
    return program.get(f"{kind}/{uuid}/metrics/", **wanted, **query).data["values"]


def test_what_was_carried_is_drawn_where_it_was_and_nothing_is_drawn_twice(
    rings: Rings, host: Host, network: Network, forward: Forward, bob: User
) -> None:
    program = Program(bob)
    with time_machine.travel(NOON, tick=False) as clock:
        said(host, networks=((network, 1000),), seconds=None)  # after who knows what time
        clock.shift(10)
        said(host, networks=((network, 6000),), forwards=((forward.number, 6000, 3),))
        said(host, networks=((network, 6000),), forwards=((forward.number, 6000, 3),))
        clock.shift(65)
        said(host, networks=((network, 106_000),), seconds=50.0)
        clock.shift(65)
        said(host, networks=((network, 10**9),), seconds=7200.0)
        slots = range(int(NOON.timestamp()) // 10 - 6, int(NOON.timestamp()) // 10 + 60)
        rings.put(HOST, host.uuid, dict.fromkeys(slots, (0.1, 1.0, 1.0)))
        clock.shift(300)
        begin = NOON.replace(second=0)
        found = of(program, "networks", network.uuid, begin, step=10)
        assert found["bytes_in"][:12] == [0, 0, 0, 500, 0, 1000, *[2000] * 4, 1000, 0]
        assert found["bytes_out"][3] == 250
        assert found["packets_in"][6] == 20
        assert sum(found["bytes_in"][12:]) == 0
        found = of(program, "forwards", forward.uuid, begin)
        assert (found["bytes_in"][0], found["connections"][0]) == (100, 0.05)
        assert sum(found["bytes_in"][1:]) == 0


def test_months_are_summed_up_by_project_and_outlive_their_networks(
    host: Host,
    network: Network,
    actor: Actor,
    bob: User,
    mallory: User,
    client: Client,
) -> None:
    lab = create_network(actor, name="lab")
    with time_machine.travel(datetime(2026, 10, 31, 23, 59, 50, tzinfo=UTC)) as clock:
        said(host, networks=((network, 3000), (lab, 500)))
        clock.move_to(datetime(2026, 11, 1, 0, 0, 5, tzinfo=UTC))
        for _ in range(2):  # one that comes twice counts once
            said(host, networks=((network, 5000),))
        said(host, networks=((network, 6000), (lab, 500)))
    delete_network(actor, lab.uuid)
    Network.objects.filter(pk=lab.pk).delete()
    Traffic.objects.filter(network_name="lab").update(network_name="=lab")  # as a formula
    program = Program(bob)
    found = [
        (row["month"], row["network_name"], row["bytes_in"], row["bytes_out"])
        for row in program.get("traffic/").data["results"]
    ]
    assert found == [
        ("2026-11", network.name, 3000, 1500),
        ("2026-10", "=lab", 500, 250),
        ("2026-10", network.name, 3000, 1500),
    ]
    summed = program.get("traffic/totals/", month="2026-10").data["results"]
    assert [(row["month"], row["project_name"], row["bytes_in"]) for row in summed] == [
        ("2026-10", "alice", 3500)
    ]
    assert program.get("traffic/", month="October").data["field"] == "month"
    assert Program(mallory).get("traffic/totals/").data["results"] == []
    client.force_login(bob)
    page = client.get(reverse("network-traffic") + "?month=2026-10").content.decode()
    assert "Traffic in October 2026" in page
    assert "3.4 KiB" in page
    file = client.get(reverse("network-traffic-csv") + "?month=2026-10")
    assert 'filename="traffic-2026-10.csv"' in file["Content-Disposition"]
    lines = list(csv.DictReader(file.content.decode().splitlines()))
    assert [(line["network_name"], line["bytes_in"]) for line in lines] == [
        ("'=lab", "500"),
        (network.name, "3000"),
    ]
    client.force_login(mallory)
    assert "No traffic yet" in client.get(reverse("network-traffic")).content.decode()
    assert len(client.get(reverse("network-traffic-csv")).content.splitlines()) == 1


def test_many_networks_cost_no_more_questions_than_one(
    host: Host, network: Network, actor: Actor
) -> None:
    networks = [network, *(create_network(actor, name=f"n{at}") for at in range(5))]
    counts = []
    for octets, some in ((1000, networks[:1]), (2000, networks), (3000, networks)):
        with CaptureQueriesContext(connection) as asked:
            said(host, networks=tuple((one, octets) for one in some))
        counts.append(len(asked))
    assert len(set(counts)) == 1
    assert Traffic.objects.count() == 6
    assert timezone.now().date().replace(day=1) == Traffic.objects.latest("month").month
