"""Prometheus gets with a token what its user may see, in a number of queries that stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from kvmweb.hosts.models import Host
from kvmweb.metrics.rings import Rings
from kvmweb.metrics.series import HOST, VM
from kvmweb.projects.actions import Actor, create_token
from networks import usage
from networks.models import Forward, Network
from tests.browser.world import add_vm
from vms.models import Image, Vm

pytestmark = pytest.mark.db

FIGURES = (1.5, 2.0**20, None, 2.0**21, *(float(at) for at in range(9)))


@pytest.fixture
def rings(settings: Any, tmp_path: Path) -> Rings:
    settings.KVMWEB_METRICS = str(tmp_path)
    return Rings(tmp_path)


def collected(user: User, client: Client) -> dict[str, list[tuple[dict[str, str], float]]]:
    _, secret = create_token(Actor(user), name="prometheus")
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=0.0.4")
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(answer.content.decode()):
        for each in family.samples:
            found.setdefault(each.name, []).append((each.labels, each.value))
    return found


@pytest.fixture
def measured(rings: Rings, host: Host, vm: Vm, network: Network, forward: Forward) -> None:
    slot = int(timezone.now().timestamp()) // 10 - 1
    rings.put(VM, vm.uuid, {slot: FIGURES})
    rings.put(HOST, host.uuid, {slot: (0.5, 1e9, 1.0)})
    counts = [7, 10, 1000, 7, 5, 500, 7, 3, 0]
    told = {"forwards": [[forward.number, *counts]], "networks": [[network.bridge, *counts]]}
    usage.record(host, told)


@pytest.mark.usefixtures("measured")
def test_everybody_collects_what_they_may_see(
    vm: Vm, network: Network, forward: Forward, bob: User, mallory: User, olga: User, client: Client
) -> None:
    found = collected(bob, client)
    of_vm = {"vm": str(vm.uuid), "name": "web-1", "project": "alice"}
    assert found["kvmweb_vm_cpu_cores"] == [(of_vm, 1.5)]
    assert found["kvmweb_vm_memory_bytes"] == [(of_vm, 2**20)]
    assert "kvmweb_vm_memory_used_bytes" not in found
    assert found["kvmweb_vm_running"] == [(of_vm, 1)]
    ((labels, octets),) = found["kvmweb_network_received_bytes_total"]
    assert (labels["network"], octets) == (str(network.uuid), 1000)
    ((labels, connections),) = found["kvmweb_forward_connections_total"]
    assert (labels["public"], connections) == (forward.public_endpoint, 3)
    assert not [name for name in found if name.startswith(("kvmweb_host", "kvmweb_jobs"))]
    assert collected(mallory, client) == {}
    operators = collected(olga, client)
    assert operators["kvmweb_host_up"][0][1] == 1
    assert operators["kvmweb_host_cpu_cores"][0][1] == 0.5
    assert operators["kvmweb_vm_cpu_cores"] == [(of_vm, 1.5)]
    assert {labels["status"] for labels, _ in operators["kvmweb_jobs"]} == {"succeeded"}


def test_without_a_token_there_is_nothing(vm: Vm, olga: User, client: Client) -> None:
    client.force_login(olga)
    for headers in (
        {},
        {"Authorization": "Bearer kvmw_wrong"},
        {"Authorization": "Basic b2xnYQ=="},
    ):
        answer = client.get("/metrics", headers=headers)
        assert answer.status_code == 401
        assert b"web-1" not in answer.content


@pytest.mark.usefixtures("measured")
def test_many_things_cost_no_more_questions_than_few(
    actor: Actor, network: Network, image: Image, olga: User, client: Client
) -> None:
    _, secret = create_token(Actor(olga), name="prometheus")
    counts = []
    for number in range(3):
        with CaptureQueriesContext(connection) as asked:
            client.get("/metrics", headers={"Authorization": f"Bearer {secret}"})
        counts.append(len(asked))
        add_vm(actor, network, image, f"more-{number}", p80=21000 + number)
    assert counts[1] == counts[2] <= counts[0] < 12
