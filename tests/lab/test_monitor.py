"""What the monitor of a real host tells: guests, facts, and that it lives in any case."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.broker import wait_until
from tests.lab.host import LabHost
from tests.lab.lab import Lab
from tests.lab.orders import flush_vm, running, succeed
from tests.lab.specs import network, vm

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]


@pytest.fixture
def host(lab: Lab) -> Iterator[LabHost]:
    lab.control.messages.clear()
    lab.h1.start("monitor")
    yield lab.h1
    for name in ("net", "vm", "monitor"):
        lab.h1.kill(name)
    code, said = lab.h1.program("reset")
    assert code == 0, said


def beats(lab: Lab) -> list[dict[str, Any]]:
    """The facts the monitor told so far."""
    return [beat["facts"] for beat in lab.control.of("kvmweb.hosts.heartbeat", process="monitor")]


def test_the_facts_of_a_host(lab: Lab, host: LabHost) -> None:
    facts = wait_until(lambda: [f for f in beats(lab) if f["accelerator"]], seconds=60)[-1]
    assert facts["accelerator"] == "tcg"
    assert {"address": host.address, "prefix": 24, "interface": "up0"} in facts["addresses"]
    assert facts["uplinks"] == ["up0"]
    assert facts["libvirt_version"].count(".") == 2
    assert facts["qemu_version"].count(".") == 2


def test_a_guest_that_starts_and_one_that_ends_are_told(lab: Lab, host: LabHost) -> None:
    net = network(201, host.address)
    spec = vm(202, net)
    listing = wait_until(lambda: lab.control.of("vms.observed", complete=True), seconds=60)
    assert listing[0]["vms"] == []
    host.start("net")
    host.start("vm")
    succeed(lab, host, "net", net)
    succeed(lab, host, "vm", spec)

    def told(state: str) -> bool:
        return any(
            (one["subject"], one["state"]) == (spec["subject"], state)
            for message in lab.control.of("vms.observed")
            for one in message["vms"]
        )

    wait_until(lambda: told("running"), what="word of the start")
    assert running(host) == {spec["domain"]}
    host.run("virsh", "-c", host.libvirt_uri, "destroy", spec["domain"])
    wait_until(lambda: told("off"), what="word of the end")
    flush_vm(host, spec)


def test_a_hung_libvirtd_stops_no_heartbeat(lab: Lab, host: LabHost) -> None:
    wait_until(lambda: [f for f in beats(lab) if f["libvirt_version"]], seconds=60)
    host.hang_libvirtd(hung=True)
    try:
        before = len(beats(lab))
        wait_until(lambda: len(beats(lab)) > before + 1, seconds=60, what="further heartbeats")
        assert beats(lab)[-1]["libvirt_version"] is None
    finally:
        host.hang_libvirtd(hung=False)
    wait_until(lambda: beats(lab)[-1]["libvirt_version"], seconds=90, what="libvirt's return")


def test_after_a_silence_of_the_broker_all_is_told_anew(lab: Lab, host: LabHost) -> None:
    wait_until(lambda: lab.control.of("vms.observed", complete=True), seconds=60)
    lab.broker.stop()
    wait_until(lambda: "message_not_sent" in host.log("monitor"), seconds=60)
    lab.broker.start()
    lab.control.messages.clear()
    wait_until(lambda: lab.control.of("vms.observed", complete=True), seconds=60)
    wait_until(lambda: beats(lab), seconds=60)
