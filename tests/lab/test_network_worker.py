"""The network worker on a real host: orders in, bridges out, through every way of dying."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from tests.lab.broker import wait_until
from tests.lab.host import LabHost
from tests.lab.lab import Lab
from tests.lab.orders import bridges, dies_after, flush_network, forwards, queue, send, succeed
from tests.lab.specs import absent, network

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

numbers = count(1)


@pytest.fixture
def host(lab: Lab) -> Iterator[LabHost]:
    yield lab.h1
    lab.h1.kill("net")
    code, said = lab.h1.program("reset")
    assert code == 0, said


def test_an_order_becomes_a_bridge_and_an_outcome(lab: Lab, host: LabHost) -> None:
    spec = network(next(numbers), host.address)
    host.start("net")
    job = send(lab, host, "net", spec)
    outcome = lab.control.outcome(job)
    assert outcome["ok"], outcome
    assert outcome["generation"] == 1
    (address,) = host.ip(f"-4 address show dev {spec['bridge']}")
    assert [entry["local"] for entry in address["addr_info"]] == [spec["gateway"]]
    assert any(spec["bridge"] in step["sentence"] for step in lab.control.steps(job))
    assert host.program("check")[0] == 0


def test_a_heartbeat_comes_from_a_worker_that_takes_jobs(lab: Lab, host: LabHost) -> None:
    host.start("net")
    assert wait_until(lambda: lab.control.of("kvmweb.hosts.heartbeat", process="net"))


def test_a_deleted_network_stays_deleted(lab: Lab, host: LabHost) -> None:
    spec = network(next(numbers), host.address)
    host.start("net")
    succeed(lab, host, "net", spec)
    succeed(lab, host, "net", absent(spec, 2))
    late = lab.control.outcome(send(lab, host, "net", spec))
    assert (late["ok"], late["generation"]) == (True, 2)
    assert spec["bridge"] not in bridges(host)
    assert spec["forwards"][0]["id"] not in forwards(host)


def test_killed_after_each_op_it_converges(lab: Lab, host: LabHost) -> None:
    spec = network(next(numbers), host.address)
    job = ""
    for number in count(1):
        died = dies_after(lab, host, "net", number, spec)
        host.start("net")
        job = send(lab, host, "net", spec, attempt=2)
        assert lab.control.outcome(job)["ok"], f"after op {number}"
        code, said = host.program("check")
        assert code == 0, said
        assert spec["bridge"] in bridges(host)
        assert spec["forwards"][0]["address"] in forwards(host)
        succeed(lab, host, "net", absent(spec, spec["generation"] + 1))
        spec = {**spec, "generation": spec["generation"] + 2}
        host.kill("net")
        lab.drop(queue(host, "net"))
        if not died:
            assert number > 3
            break


def test_it_restores_without_a_broker(lab: Lab, host: LabHost) -> None:
    spec = network(next(numbers), host.address)
    host.start("net")
    succeed(lab, host, "net", spec)
    host.kill("net")
    lab.broker.stop()
    try:
        flush_network(host, spec)
        host.start("net")
        wait_until(lambda: spec["bridge"] in bridges(host), seconds=60)
        wait_until(lambda: spec["forwards"][0]["address"] in forwards(host), seconds=60)
    finally:
        lab.broker.start()
    job = send(lab, host, "net", {**spec, "generation": 2})
    assert lab.control.outcome(job)["generation"] == 2


def test_an_order_lost_with_the_broker_is_done_when_sent_again(lab: Lab, host: LabHost) -> None:
    spec = network(next(numbers), host.address)
    host.start("net")
    succeed(lab, host, "net", spec)
    host.freeze("net")
    lost = send(lab, host, "net", {**spec, "generation": 2})
    lab.broker.stop()
    host.thaw("net")
    lab.broker.start()
    succeed(lab, host, "net", {**spec, "generation": 2})
    assert not any(r["outcome"] for r in lab.control.of("kvmweb.jobs.record", job=lost))


def test_restore_puts_networks_back(lab: Lab, host: LabHost) -> None:
    spec = network(next(numbers), host.address)
    host.start("net")
    succeed(lab, host, "net", spec)
    host.kill("net")
    flush_network(host, spec)
    code, said = host.program("check")
    assert code == 1, said
    assert "missing: " in said
    code, said = host.program("restore")
    assert code == 0, said
    assert spec["bridge"] in bridges(host)
    assert spec["forwards"][0]["address"] in forwards(host)
    assert host.pids_of("dnsmasq")
    assert host.program("check")[0] == 0


def test_a_running_worker_repairs_by_itself_without_a_broker(lab: Lab, host: LabHost) -> None:
    spec = network(next(numbers), host.address)
    host.start("net")
    succeed(lab, host, "net", spec)
    lab.broker.stop()
    try:
        flush_network(host, spec)
        wait_until(lambda: host.program("check")[0] == 0, seconds=60, what="the repair")
        assert spec["bridge"] in bridges(host)
        assert spec["forwards"][0]["address"] in forwards(host)
        assert host.pids_of("dnsmasq")
        code, said = host.program("restore")
        assert code == 0, said
    finally:
        lab.broker.start()
