"""Orders to a host as the panel sends them, and what the host looks like from outside."""

from __future__ import annotations

import sys
from typing import Any, Literal

from tests.lab.broker import wait_until
from tests.lab.host import LabHost
from tests.lab.lab import Lab

Worker = Literal["net", "vm"]
_KINDS = {"net": ("network", "networks.apply"), "vm": ("vm", "vms.apply")}


def send(lab: Lab, host: LabHost, worker: Worker, spec: dict[str, Any], *, attempt: int = 1) -> str:
    """Send a spec; returns the job."""
    kind, task = _KINDS[worker]
    job, envelope = host.order(kind, spec, attempt=attempt)
    lab.send(task, queue(host, worker), envelope)
    return job


def queue(host: LabHost, worker: Worker) -> str:
    return host.config.net_queue if worker == "net" else host.config.vm_queue


def succeed(lab: Lab, host: LabHost, worker: Worker, spec: dict[str, Any]) -> dict[str, Any]:
    """Send a spec and wait until it was applied."""
    outcome = lab.control.outcome(send(lab, host, worker, spec), seconds=120)
    assert outcome["ok"], outcome
    return outcome


def dies_after(lab: Lab, host: LabHost, worker: Worker, number: int, spec: dict[str, Any]) -> bool:
    """Have a worker die after its `number`-th op; False when it had fewer to do."""
    launcher = [sys.executable, "-m", "tests.lab.launcher", worker, str(number)]
    process = host.start(worker, *launcher, str(host.config_file))
    job = send(lab, host, worker, spec)

    def over() -> bool:
        reports = lab.control.of("kvmweb.jobs.record", job=job)
        return any(report["outcome"] for report in reports) or process.poll() is not None

    wait_until(over, seconds=120, what="the end of the worker or of the job")
    died = process.poll() is not None
    host.kill(worker)
    lab.drop(queue(host, worker))
    return died


def bridges(host: LabHost) -> set[str]:
    return {link["ifname"] for link in host.ip("link show type bridge")}


def forwards(host: LabHost) -> str:
    return host.run("nft", "list", "map", "inet", "kvmweb", "fwd4", check=False)


def running(host: LabHost) -> set[str]:
    """The names of the domains that run."""
    return set(host.run("virsh", "-c", host.libvirt_uri, "list", "--name").split())


def defined(host: LabHost) -> set[str]:
    """The names of all domains."""
    return set(host.run("virsh", "-c", host.libvirt_uri, "list", "--all", "--name").split())


def flush_network(host: LabHost, spec: dict[str, Any]) -> None:
    """What a reboot, or the worst of neighbours, does to a network."""
    host.run("ip", "link", "delete", spec["bridge"])
    host.run("nft", "flush", "ruleset")
    for family in ("inet", "bridge"):
        host.run("nft", "delete", "table", family, "kvmweb", check=False)
    for pid in host.pids_of("dnsmasq"):
        host.run("kill", "-9", str(pid))


def flush_vm(host: LabHost, spec: dict[str, Any]) -> None:
    """End the guest and make libvirt forget it; its disk stays."""
    host.run("virsh", "-c", host.libvirt_uri, "destroy", spec["domain"], check=False)
    host.run("virsh", "-c", host.libvirt_uri, "undefine", spec["domain"])
