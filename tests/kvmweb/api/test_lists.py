"""Lists: pages with a limit, filters, search, and the same number of queries however long."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.projects.actions import Actor, create_project
from kvmweb.projects.models import Project
from networks.actions import add_reservation, create_network
from networks.models import Forward, Network, Reservation
from tests.cast import start_job
from tests.kvmweb.api.conftest import Program
from vms.actions import NewForward, NewVm, create_vm
from vms.models import Image, Vm

pytestmark = [pytest.mark.db, pytest.mark.django_db]

MANY = 50


def more(actor: Actor, network: Network, image: Image, host: Host) -> None:
    """Fifty of everything."""
    for number in range(MANY):
        create_network(actor, name=f"n{number}", project=network.project.uuid)
        forwards = [NewForward(target_port=80), NewForward(target_port=22)]
        create_vm(
            actor,
            NewVm(name=f"v{number}", network=network.uuid, image=image.uuid, forwards=forwards),
        )
        create_project(actor, name=f"p{number}")
        Image.objects.create(
            name=f"i{number}",
            sha256="1" * 64,
            size_bytes=1,
            virtual_size_bytes=1,
            source="/i",
            project=network.project,
        )
        extra = Host.objects.create(name=f"h-{number}")
        PublicAddress.objects.create(host=extra, address=f"198.51.100.{100 + number}")


def queries(program: Program, path: str) -> tuple[int, int]:
    """How many rows a list shows and how many queries that took."""
    with CaptureQueriesContext(connection) as captured:
        answer = program.get(path, limit=500)
    return len(answer.data["results"]), len(captured)


LISTS = (
    "hosts",
    "public-addresses",
    "networks",
    "reservations",
    "forwards",
    "images",
    "vms",
    "jobs",
    "projects",
)


def test_a_long_list_takes_as_many_queries_as_a_short_one(
    alices: Program,
    olgas: Program,
    actor: Actor,
    vm: Vm,
    network: Network,
    image: Image,
    host: Host,
) -> None:
    programs = [alices, olgas]
    for program in programs:
        program.get("vms/")
    short = {(place, i): queries(p, f"{place}/") for place in LISTS for i, p in enumerate(programs)}
    more(actor, network, image, host)
    for (place, index), (few, needed) in short.items():
        many, taken = queries(programs[index], f"{place}/")
        assert taken == needed, place
        if index or place not in ("hosts", "public-addresses"):
            assert many >= few + MANY, place


def test_pages_have_fifty_rows_and_never_more_than_five_hundred(
    alices: Program, actor: Actor, network: Network
) -> None:
    for number in range(60):
        add_reservation(actor, network=network.uuid, name=f"r{number}")
    first = alices.get("reservations/")
    assert (first.data["count"], len(first.data["results"])) == (60, 50)
    rest = alices.client.get(first.data["next"])
    assert len(rest.data["results"]) == 10
    assert alices.get("reservations/", limit=10**9).data["count"] == 60
    assert len(alices.get("reservations/", limit=7, offset=55).data["results"]) == 5


def test_jobs_come_newest_first_and_stay_in_place_while_more_are_added(
    alices: Program, actor: Actor, public_address: PublicAddress
) -> None:
    for number in range(6):
        create_network(actor, name=f"n{number}")
    first = alices.get("jobs/", limit=3)
    titles = [job["title"] for job in first.data["results"]]
    assert titles == [f"Create network n{number}" for number in (5, 4, 3)]
    assert "steps" not in first.data["results"][0]
    create_network(actor, name="late")
    second = alices.client.get(first.data["next"])
    assert [job["title"] for job in second.data["results"]] == [
        f"Create network n{number}" for number in (2, 1, 0)
    ]


def test_filters_keep_what_was_asked_for(
    alices: Program,
    actor: Actor,
    project: Project,
    vm: Vm,
    network: Network,
    reservation: Reservation,
    forward: Forward,
) -> None:
    other = create_project(actor, name="Other")
    create_network(actor, name="elsewhere", project=other.uuid)

    def found(path: str, **query: Any) -> int:
        return len(alices.get(path, **query).data["results"])

    assert found("networks/") == 2
    assert found("networks/", project=other.uuid) == 1
    assert found("networks/", search="ELSE") == 1
    assert found("vms/", network=network.uuid) == 1
    assert found("vms/", project=other.uuid) == 0
    assert found("vms/", search="web") == 1
    assert found("forwards/", vm=vm.uuid) == found("forwards/", network=network.uuid) == 1
    assert found("forwards/", reservation=reservation.uuid, protocol="tcp") == 1
    assert found("forwards/", protocol="udp") == 0
    assert found("reservations/", vm=vm.uuid) == 1
    assert found("jobs/", kind="vm") == 1
    assert found("jobs/", status=["queued"]) == 1
    assert found("jobs/", status=["queued", "succeeded"], kind="network") == 3
    assert found("jobs/", subject=vm.uuid) == 1
    assert found("images/", search="tin") == 1
    assert found("projects/", search="oth") == 1


def test_a_filter_tells_strangers_nothing(mallory: User, vm: Vm, network: Network) -> None:
    program = Program(mallory)
    assert program.get("vms/", network=network.uuid).data["count"] == 0
    assert program.get("jobs/", subject=vm.uuid).data["results"] == []


def test_a_job_says_what_it_is_about_and_each_step(alices: Program, actor: Actor, vm: Vm) -> None:
    Network.objects.get()
    answer = alices.get(f"jobs/{vm.job.uuid}/")  # type: ignore[union-attr]
    assert answer.data["subject"] == {"kind": "vm", "id": str(vm.uuid), "name": "web-1"}
    assert (answer.data["status"], answer.data["host"]) == ("succeeded", "h1")
    network = create_network(actor, name="other")
    job = start_job(network.job)
    (step,) = alices.get(f"jobs/{job.uuid}/").data["steps"]
    assert step["sentence"] == "Waiting for host h1: Create network other"
    assert (step["state"], step["seq"]) == ("running", 1)
    assert (step["percent"], step["duration_ms"]) == (None, None)


def test_tracebacks_are_for_operators(alices: Program, olgas: Program, network: Network) -> None:
    job = network.job
    assert job is not None
    job.traceback = "Traceback: secret"
    job.save()
    assert alices.get(f"jobs/{job.uuid}/").data["traceback"] == ""
    assert olgas.get(f"jobs/{job.uuid}/").data["traceback"] == "Traceback: secret"
