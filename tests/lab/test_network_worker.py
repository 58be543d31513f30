"""The network worker on a real host: orders in, bridges out, through every way of dying."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from tests.lab.broker import wait_until
from tests.lab.host import LabHost
from tests.lab.lab import Lab
from tests.lab.specs import absent, network

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

TASK = "networks.apply"
numbers = count(1)


@pytest.fixture
def host(lab: Lab) -> Iterator[LabHost]:
    yield lab.h1
    lab.h1.kill("net")
    code, said = lab.h1.program("reset")
    assert code == 0, said


def send(lab: Lab, host: LabHost, spec: dict[str, Any], *, attempt: int = 1) -> str:
    job, envelope = host.order("network", spec, attempt=attempt)
    lab.send(TASK, host.config.net_queue, envelope)
    return job


def bridges(host: LabHost) -> set[str]:
    return {link["ifname"] for link in host.ip("link show type bridge")}


def forwards(host: LabHost) -> str:
    return host.run("nft", "list", "map", "inet", "kvmweb", "fwd4", check=False)


def test_an_order_becomes_a_bridge_and_an_outcome(lab: Lab, host: LabHost) -> None:
    spec = network(next(numbers), host.address)
    host.start("net")
    job = send(lab, host, spec)
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
    assert lab.control.outcome(send(lab, host, spec))["ok"]
    assert lab.control.outcome(send(lab, host, absent(spec, 2)))["ok"]
    late = lab.control.outcome(send(lab, host, spec))
    assert (late["ok"], late["generation"]) == (True, 2)
    assert spec["bridge"] not in bridges(host)
    assert spec["forwards"][0]["id"] not in forwards(host)


def test_killed_after_each_op_it_converges(lab: Lab, host: LabHost) -> None:
    spec = network(next(numbers), host.address)
    job = ""
    for number in count(1):
        died = dies_after(lab, host, number, spec)
        host.start("net")
        job = send(lab, host, spec, attempt=2)
        assert lab.control.outcome(job)["ok"], f"after op {number}"
        assert host.program("check") == (0, host.program("check")[1])
        assert spec["bridge"] in bridges(host)
        assert spec["forwards"][0]["address"] in forwards(host)
        lab.control.outcome(send(lab, host, absent(spec, spec["generation"] + 1)))
        spec = {**spec, "generation": spec["generation"] + 2}
        host.kill("net")
        lab.drop(host.config.net_queue)
        if not died:
            assert number > 3
            break


def dies_after(lab: Lab, host: LabHost, number: int, spec: dict[str, Any]) -> bool:
    """Have a worker die after its `number`-th op; False when it had fewer to do."""
    launcher = [sys.executable, "-m", "tests.lab.launcher", "net", str(number)]
    worker = host.start("net", *launcher, str(host.config_file))
    job = send(lab, host, spec)

    def over() -> bool:
        done = any(r["outcome"] for r in lab.control.of("kvmweb.jobs.record", job=job))
        return done or worker.poll() is not None

    wait_until(over, seconds=60, what="the end of the worker or of the job")
    died = worker.poll() is not None
    host.kill("net")
    lab.drop(host.config.net_queue)
    return died


def test_it_restores_without_a_broker(lab: Lab, host: LabHost) -> None:
    spec = network(next(numbers), host.address)
    host.start("net")
    assert lab.control.outcome(send(lab, host, spec))["ok"]
    host.kill("net")
    lab.broker.stop()
    try:
        flush(host, spec)
        host.start("net")
        wait_until(lambda: spec["bridge"] in bridges(host), seconds=60)
        wait_until(lambda: spec["forwards"][0]["address"] in forwards(host), seconds=60)
    finally:
        lab.broker.start()
    job = send(lab, host, {**spec, "generation": 2})
    assert lab.control.outcome(job)["generation"] == 2


def test_an_outcome_arrives_after_the_broker_was_wiped(lab: Lab, host: LabHost) -> None:
    spec = network(next(numbers), host.address)
    host.start("net")
    assert lab.control.outcome(send(lab, host, spec))["ok"]
    host.freeze("net")
    job = send(lab, host, {**spec, "generation": 2})
    host.thaw("net")
    lab.broker.stop()
    lab.broker.start()
    again = send(lab, host, {**spec, "generation": 2}, attempt=2)
    assert lab.control.outcome(again)["ok"]
    assert job != again


def flush(host: LabHost, spec: dict[str, Any]) -> None:
    """What a reboot, or the worst of neighbours, does to a network."""
    host.run("ip", "link", "delete", spec["bridge"])
    host.run("nft", "flush", "ruleset")
    for family in ("inet", "bridge"):
        host.run("nft", "delete", "table", family, "kvmweb", check=False)
    for pid in host.pids_of("dnsmasq"):
        host.run("kill", "-9", str(pid))


@pytest.mark.parametrize("running", [True, False])
def test_restore_puts_networks_back(lab: Lab, host: LabHost, *, running: bool) -> None:
    spec = network(next(numbers), host.address)
    host.start("net")
    assert lab.control.outcome(send(lab, host, spec))["ok"]
    if not running:
        host.kill("net")
    flush(host, spec)
    code, said = host.program("check")
    assert code == 1, said
    assert "Created bridge" in said
    code, said = host.program("restore")
    assert code == 0, said
    assert spec["bridge"] in bridges(host)
    assert spec["forwards"][0]["address"] in forwards(host)
    assert host.pids_of("dnsmasq")
    assert host.program("check")[0] == 0
