"""Lists: a constant number of queries however many rows; filter, sort and page by link."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from kvmweb.jobs.models import Job, Status
from kvmweb.projects.actions import Actor
from networks.models import Network
from tests.cast import finish_job
from vms.actions import NewForward, NewVm, create_vm
from vms.models import Image, Vm

pytestmark = pytest.mark.db
LISTS = ["overview", "vms", "networks", "forwards", "images", "activity", "hosts"]
MANY = 12

Populate = Callable[[int], None]


@pytest.fixture
def populate(actor: Actor, network: Network, image: Image) -> Populate:
    numbers = count(2)

    def add(how_many: int) -> None:
        for _ in range(how_many):
            doors = [NewForward(target_port=22), NewForward(target_port=80)]
            name = f"web-{next(numbers)}"
            made = create_vm(
                actor, NewVm(name=name, network=network.uuid, image=image.uuid, forwards=doors)
            )
            network.refresh_from_db()
            finish_job(network.job)
            finish_job(made.job, state="running")

    return add


@pytest.mark.parametrize("name", LISTS)
def test_a_list_costs_the_same_for_one_row_and_for_many(
    name: str, populate: Populate, vm: Vm, olga: User, client: Client
) -> None:
    client.force_login(olga)
    client.get(reverse(name))

    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            assert client.get(reverse(name)).status_code == 200
        return len(found)

    few = queries()
    populate(MANY)
    assert queries() == few
    assert few <= 24


@pytest.mark.parametrize(
    ("page", "about"), [("network", "network"), ("vm", "vm"), ("host", "host")]
)
def test_a_page_costs_the_same_however_much_is_on_it(
    page: str,
    about: str,
    populate: Populate,
    vm: Vm,
    olga: User,
    client: Client,
    request: pytest.FixtureRequest,
) -> None:
    client.force_login(olga)
    address = reverse(page, args=[request.getfixturevalue(about).uuid])

    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            assert client.get(address).status_code == 200
        return len(found)

    queries()
    few = queries()
    populate(MANY)
    assert queries() == few


def names(client: Client, query: str, user: User) -> list[str]:
    client.force_login(user)
    return [row.name for row in client.get(f"/vms/?{query}").context["list"].page]


def test_vms_are_found_by_name_address_and_network(
    populate: Populate, vm: Vm, network: Network, alice: User, client: Client
) -> None:
    populate(2)
    assert names(client, "q=web-2", alice) == ["web-2"]
    assert names(client, f"q={vm.address}", alice) == ["web-1"]
    assert len(names(client, f"network={network.uuid}", alice)) == 3
    assert names(client, "q=nothing-like-it", alice) == []


def test_vms_are_found_by_the_state_they_show(
    populate: Populate, vm: Vm, alice: User, client: Client
) -> None:
    populate(3)
    assert vm.job
    Job.objects.filter(pk=vm.job.pk).update(status=Status.FAILED)
    Vm.objects.filter(name="web-2").update(power_state="off")
    Vm.objects.filter(name="web-3").update(generation=99)
    shown = {row.name: row.state.value for row in Vm.objects.for_display()}
    assert shown == {
        "web-1": "needs_attention",
        "web-2": "off",
        "web-3": "changing",
        "web-4": "running",
    }
    for name, state in shown.items():
        assert names(client, f"state={state}", alice) == [name]


def test_a_silent_host_is_a_state_of_its_vms(vm: Vm, alice: User, client: Client) -> None:
    type(vm.host).objects.update(monitor_seen_at=None)
    assert names(client, "state=host_not_answering", alice) == ["web-1"]
    assert names(client, "state=running", alice) == []


def test_lists_sort_both_ways_and_ignore_what_they_do_not_know(
    populate: Populate, vm: Vm, alice: User, client: Client
) -> None:
    populate(2)
    assert names(client, "sort=name", alice) == ["web-1", "web-2", "web-3"]
    assert names(client, "sort=-name", alice) == ["web-3", "web-2", "web-1"]
    assert names(client, "sort=password&page=99&state=odd", alice) == ["web-1", "web-2", "web-3"]


def test_long_lists_come_in_pages(
    populate: Populate, vm: Vm, alice: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kvmweb.ui.listing.PAGE_SIZE", 2)
    populate(2)
    client.force_login(alice)
    first = client.get("/vms/?q=web")
    assert [row.name for row in first.context["list"].page] == ["web-1", "web-2"]
    assert first.context["list"].next == "?q=web&page=2"
    assert b"1\xe2\x80\x932 of 3" in first.content
    second = client.get("/vms/?q=web&page=2")
    assert [row.name for row in second.context["list"].page] == ["web-3"]


def test_search_finds_by_name_address_and_port(vm: Vm, alice: User, client: Client) -> None:
    client.force_login(alice)
    for text, found in [
        ("web", "web-1"),
        (vm.address, "web-1"),
        ("home", "home"),
        ("10.60.0.0", "home"),
        ("20022", "198.51.100.11:20022"),
        (":20022", "198.51.100.11:20022"),
        ("new v", "New VM"),
    ]:
        hits = client.get("/search/", {"q": text}).context["found"]
        assert found in [hit.name for hit in hits], text


def test_search_names_nothing_of_others(vm: Vm, mallory: User, client: Client) -> None:
    client.force_login(mallory)
    for text in ("web", vm.address, "20022", "h1"):
        assert client.get("/search/", {"q": text}).context["found"] == []
