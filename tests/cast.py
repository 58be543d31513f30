"""The cast of every test with people in it, and one small world they look at.

Alice owns the project, Bob may read it, Mallory is a stranger to it, Olga operates the panel. Rows
are made through the actions that people use; only hosts and images, which operators bring, are made
directly.
"""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from kvmweb.host.progress import Outcome, Step
from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.jobs.dispatch import sync
from kvmweb.jobs.models import Job
from kvmweb.jobs.record import record
from kvmweb.projects.actions import Actor, personal_project
from kvmweb.projects.models import Membership, Project, Role
from networks.actions import add_host_name, create_network
from networks.models import Forward, HostName, Network, Reservation
from vms.actions import NewForward, NewVm, create_vm, take_snapshot
from vms.models import GIB, Image, Snapshot, Vm

PASSWORD = "correct-horse-battery"
FACTS: dict[str, Any] = {
    "cpus": 8,
    "memory_mib": 16384,
    "routes": ["192.168.122.0/24"],
    "addresses": [{"address": "198.51.100.11", "prefix": 24}],
    "listeners": [{"protocol": "tcp", "address": "0.0.0.0", "port": 5432}],  # noqa: S104
    "ephemeral_ports": [32768, 60999],
    "findings": [
        {
            "id": "firewall:x",
            "level": "bad",
            "found": "iptables: the chain ip filter FORWARD drops what is forwarded.",
            "breaks": "Nobody reaches guests through forwards.",
            "remedy": "Run on the host: iptables-nft …",
            "does": "iptables-nft -I FORWARD -i kw+ -j ACCEPT",
        }
    ],
    "attachables": [
        {"interface": "br0", "kind": "bridge", "refused": ""},
        {"interface": "br1", "kind": "bridge", "refused": ""},
    ],
    "accelerator": "tcg",
    "accelerator_reason": "/dev/kvm is missing.",
}


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice", password=PASSWORD)


@pytest.fixture
def bob(project: Project) -> User:
    """May read Alice's project and has one of his own like everybody."""
    user = User.objects.create_user("bob", password=PASSWORD)
    Membership.objects.create(project=project, user=user, role=Role.VIEWER)
    personal_project(user)
    return user


@pytest.fixture
def mallory(db: None) -> User:
    user = User.objects.create_user("mallory", password=PASSWORD)
    personal_project(user)
    return user


@pytest.fixture
def olga(db: None) -> User:
    user = User.objects.create_superuser("olga", password=PASSWORD)
    personal_project(user)
    return user


@pytest.fixture
def project(alice: User) -> Project:
    return personal_project(alice)


@pytest.fixture
def actor(alice: User) -> Actor:
    return Actor(alice)


@pytest.fixture
def host(db: None) -> Host:
    now = timezone.now()
    return Host.objects.create(
        name="h1",
        facts=deepcopy(FACTS),
        facts_at=now,
        monitor_seen_at=now,
        net_seen_at=now,
        vm_seen_at=now,
    )


@pytest.fixture
def public_address(host: Host) -> PublicAddress:
    return PublicAddress.objects.create(host=host, address="198.51.100.11", is_default=True)


@pytest.fixture
def image(db: None) -> Image:
    return Image.objects.create(
        name="tiny",
        description="A small guest that answers HTTP.",
        sha256="0" * 64,
        size_bytes=16 * 1024 * 1024,
        virtual_size_bytes=GIB,
        source="/var/lib/kvmweb/images/tiny.qcow2",
        default_user="root",
    )


@pytest.fixture
def network(actor: Actor, project: Project, public_address: PublicAddress) -> Network:
    made = create_network(actor, name="home", ipv4_subnet="10.60.0.0/24", project=project.uuid)
    finish_job(made.job)
    made.refresh_from_db()
    return made


@pytest.fixture
def vm(actor: Actor, network: Network, image: Image) -> Vm:
    """Runs, and answers ssh at 198.51.100.11:20022."""
    forward = NewForward(target_port=22, public_port=20022)
    wanted = NewVm(name="web-1", network=network.uuid, image=image.uuid, forwards=[forward])
    made = create_vm(actor, wanted)
    network.refresh_from_db()
    finish_job(network.job)
    finish_job(made.job, state="running")
    made.refresh_from_db()
    return made


@pytest.fixture
def reservation(vm: Vm) -> Reservation:
    return vm.nics.get().reservation


@pytest.fixture
def host_name(actor: Actor, reservation: Reservation) -> HostName:
    made = add_host_name(actor, reservation=reservation.uuid, name="web-1.example.org")
    finish_job(Network.objects.get(pk=made.network_id).job)
    return made


@pytest.fixture
def forward(reservation: Reservation) -> Forward:
    return reservation.forwards.get()


def kept_snapshot(actor: Actor, vm: Vm, name: str = "first", *, memory: bool = False) -> Snapshot:
    """A snapshot that the VM's host has taken; the VM goes on as it did."""
    asked = take_snapshot(actor, vm=vm.uuid, name=name, memory=memory)
    there = {
        str(each.uuid): {"memory": each.memory, "memory_bytes": 0} for each in vm.snapshots.all()
    }
    finish_job(Vm.objects.get(pk=vm.pk).job, state=vm.power_state, snapshots=there)
    vm.refresh_from_db()
    asked.refresh_from_db()
    return asked


def report(job: Job, *steps: Step, outcome: Outcome | None = None) -> None:
    """What a host would report of this job, recorded as the control worker does it."""
    at = datetime.now(UTC).isoformat()
    payload = {
        "job": str(job.uuid),
        "attempt": job.attempt,
        "steps": [{"at": at, **msgspec.to_builtins(step)} for step in steps],
        "outcome": msgspec.to_builtins(outcome),
    }
    record(job.host_name, payload)


def start_job(job: Job | None) -> Job:
    """The job after the control worker has sent it to its host."""
    assert job is not None
    sync(job.kind, job.subject)
    job.refresh_from_db()
    assert job.status == "running", f"{job} is {job.status}"
    return job


def finish_job(job: Job | None, *, state: str = "", **seen: object) -> None:
    """Bring a queued job to its good end; `state`, and what else, is what the host saw of a VM."""
    running = start_job(job)
    observed = {"state": state, **seen} if state else seen
    report(running, Step(key="apply", sentence="Applied"), outcome=_good(running, observed))


def fail_job(job: Job | None, message: str, *, code: str = "host_error", remedy: str = "") -> None:
    """Bring a queued job to a bad end."""
    running = start_job(job)
    outcome = Outcome(ok=False, generation=0, code=code, message=message, remedy=remedy)
    report(running, Step(key="try", sentence="Trying it", state="failed"), outcome=outcome)


def _good(job: Job, observed: dict[str, Any]) -> Outcome:
    return Outcome(ok=True, generation=job.generation or 0, observed=observed)


def missing() -> UUID:
    """The UUID of nothing."""
    return UUID(int=0)
