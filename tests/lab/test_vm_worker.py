"""The VM worker on a real host with real guests: through every way of dying, and back."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from tests.lab.broker import wait_until
from tests.lab.host import LabHost
from tests.lab.lab import Lab
from tests.lab.orders import (
    bridges,
    defined,
    dies_after,
    flush_network,
    flush_vm,
    forwards,
    queue,
    running,
    send,
    succeed,
)
from tests.lab.specs import absent, network, vm

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

numbers = count(101)


@pytest.fixture
def host(lab: Lab) -> Iterator[LabHost]:
    yield lab.h2
    for name in ("net", "vm"):
        lab.h2.kill(name)
    code, said = lab.h2.program("reset")
    assert code == 0, said
    assert defined(lab.h2) == set()


@pytest.fixture
def net(lab: Lab, host: LabHost) -> dict[str, Any]:
    """A network that is there."""
    spec = network(next(numbers), host.address)
    host.start("net")
    succeed(lab, host, "net", spec)
    return spec


def test_an_order_becomes_a_running_guest(lab: Lab, host: LabHost, net: dict[str, Any]) -> None:
    spec = vm(next(numbers), net)
    host.start("vm")
    outcome = succeed(lab, host, "vm", spec)
    assert outcome["observed"]["state"] == "running"
    assert running(host) == {spec["domain"]}
    (tap,) = host.ip(f"link show master {net['bridge']}")
    assert tap["ifname"] == spec["nics"][0]["tap"]
    code, said = host.program("check")
    assert code == 0, said


def test_a_heartbeat_comes_from_the_vm_worker(lab: Lab, host: LabHost) -> None:
    host.start("vm")
    assert wait_until(lambda: lab.control.of("kvmweb.hosts.heartbeat", process="vm"))


def test_killed_after_each_op_it_converges(lab: Lab, host: LabHost, net: dict[str, Any]) -> None:
    spec = vm(next(numbers), net)
    for number in count(1):
        died = dies_after(lab, host, "vm", number, spec)
        host.start("vm")
        succeed(lab, host, "vm", spec)
        assert running(host) == {spec["domain"]}, f"after op {number}"
        succeed(lab, host, "vm", absent(spec, spec["generation"] + 1))
        assert defined(host) == set()
        assert not list((host.config.paths.disks).glob("*/*"))
        spec = {**spec, "generation": spec["generation"] + 2}
        host.kill("vm")
        lab.drop(queue(host, "vm"))
        if not died:
            assert number > 3
            break


def test_a_hung_libvirtd_delays_a_job_and_does_not_fail_it(
    lab: Lab, host: LabHost, net: dict[str, Any]
) -> None:
    spec = vm(next(numbers), net)
    host.start("vm")
    host.hang_libvirtd(hung=True)
    job = send(lab, host, "vm", spec)
    wait_until(
        lambda: [step for step in lab.control.steps(job) if step["key"] == "retry"],
        seconds=90,
        what="a step that says why the job waits",
    )
    host.hang_libvirtd(hung=False)
    assert lab.control.outcome(job, seconds=120)["ok"]
    assert running(host) == {spec["domain"]}


def test_restore_puts_networks_and_guests_back(
    lab: Lab, host: LabHost, net: dict[str, Any]
) -> None:
    spec = vm(next(numbers), net)
    host.start("vm")
    succeed(lab, host, "vm", spec)
    host.kill("vm")
    host.kill("net")
    flush_vm(host, spec)
    flush_network(host, net)
    lab.broker.stop()
    try:
        assert host.program("check")[0] == 1
        code, said = host.program("restore")
        assert code == 0, said
        assert net["bridge"] in bridges(host)
        assert net["forwards"][0]["address"] in forwards(host)
        assert host.pids_of("dnsmasq")
        assert running(host) == {spec["domain"]}
        code, said = host.program("check")
        assert code == 0, said
    finally:
        lab.broker.start()


def test_after_a_boot_guests_are_back_by_themselves_and_only_then(
    lab: Lab, host: LabHost, net: dict[str, Any]
) -> None:
    spec = vm(next(numbers), net)
    host.start("vm")
    succeed(lab, host, "vm", spec)
    host.kill("vm")
    host.run("virsh", "-c", host.libvirt_uri, "destroy", spec["domain"])
    host.start("vm")
    succeed(lab, host, "vm", vm(next(numbers), net, power="off", nics=[]))
    assert running(host) == set(), "a guest that was switched off is left alone"
    host.kill("vm")
    (host.config.paths.state / "restored_boot").write_text("another boot")
    lab.broker.stop()
    try:
        host.start("vm")
        wait_until(lambda: running(host) == {spec["domain"]}, seconds=90, what="the guest's return")
    finally:
        lab.broker.start()


def test_reset_finds_a_guest_whose_spec_is_lost(
    lab: Lab, host: LabHost, net: dict[str, Any]
) -> None:
    spec = vm(next(numbers), net)
    host.start("vm")
    succeed(lab, host, "vm", spec)
    assert host.program("reset")[0] == 3, "not while the workers run"
    host.kill("vm")
    host.kill("net")
    for path in host.config.paths.specs.rglob("*.json"):
        path.write_text("torn")
    code, said = host.program("reset")
    assert code == 0, said
    assert defined(host) == set()
    assert not any(name.startswith("kw") for name in bridges(host))
    assert "kvmweb" not in host.run("nft", "list", "tables")
    assert not host.pids_of("dnsmasq")
    assert not host.config.paths.disks.exists()
