"""Why?, on pages and by REST: the rows first, then what the host says, and to whom."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from kvmweb.hosts.models import Host, PublicAddress
from kvmweb.projects.actions import Actor
from networks import actions
from networks.actions import add_forward
from networks.models import Forward, HostName, Network, Reservation
from tests.asking import answering
from tests.cast import fail_job, finish_job
from tests.kvmweb.api.conftest import Program
from tests.lab.broker import Broker

pytestmark = pytest.mark.db

RULE = "-A FORWARD -s 10.9.9.9 -j DROP"
STEPS = [
    {
        "key": "address",
        "title": "The public address is on an uplink",
        "verdict": "ok",
        "found": "Y",
    },
    {
        "key": "chain:ip filter FORWARD",
        "title": "Chain ip filter FORWARD lets it through",
        "verdict": "broken",
        "found": "It drops the packet.",
        "wanted": "An accept.",
        "remedy": "Run this.",
        "detail": RULE,
        "mend": "repair",
    },
    {"key": "service", "title": "Something answers", "verdict": "unknown", "found": "Untried"},
]


@pytest.fixture
def asked(host: Host, tmp_path: Path, settings: LazySettings) -> Iterator[list[dict[str, Any]]]:
    """The host answers every "why?" with STEPS; what it was asked."""
    broker = Broker(tmp_path)
    broker.start()
    settings.REDIS_URL = f"unix://{broker.socket}"
    heard: list[dict[str, Any]] = []

    def explain(body: dict[str, Any]) -> object:
        heard.append(body)
        return STEPS

    with answering(host, broker, {"explain": explain}):
        yield heard
    broker.stop()


def test_programs_get_the_steps(alice: User, forward: Forward, asked: list[dict[str, Any]]) -> None:
    answer = Program(alice).get(f"forwards/{forward.uuid}/explain/", source="198.51.100.7")
    assert answer.status_code == 200
    assert (answer.data["reachable"], answer.data["broken"]) == (False, STEPS[1]["key"])
    assert [step["key"] for step in answer.data["steps"]][:2] == ["told", "address"]
    assert asked == [
        {
            "network": str(forward.network.uuid),
            "forward": str(forward.uuid),
            "protocol": "tcp",
            "public_port": 0,
            "source": "198.51.100.7",
            "reservation": "",
            "way": "out",
            "destination": "",
            "port": 0,
            "version": 4,
            "peer": "",
            "host_name": "",
        }
    ]


def test_rules_of_the_host_are_for_operators(
    bob: User, olga: User, forward: Forward, asked: list[dict[str, Any]]
) -> None:
    path = f"forwards/{forward.uuid}/explain/"
    assert RULE not in str(Program(bob).get(path).data)
    assert RULE in str(Program(olga).get(path).data)


def test_a_port_leads_only_to_ones_own_forward(
    alice: User, mallory: User, forward: Forward, asked: list[dict[str, Any]]
) -> None:
    place = {"public_address": "198.51.100.11", "public_port": 20022}
    assert Program(alice).get("forwards/explain/", **place).status_code == 200
    assert Program(mallory).get("forwards/explain/", **place).status_code == 404
    elsewhere = Program(alice).get("forwards/explain/", **(place | {"public_port": 1}))
    assert elsewhere.status_code == 404
    assert len(asked) == 1


def test_a_port_is_found_in_a_range_and_where_all_of_an_address_is_led(
    alice: User, actor: Actor, host: Host, reservation: Reservation, asked: list[dict[str, Any]]
) -> None:
    other = PublicAddress.objects.create(host=host, address="198.51.100.12")
    in_row = add_forward(actor, reservation=reservation.uuid, public_port=30000, ports=10)
    whole = add_forward(
        actor, reservation=reservation.uuid, protocol="all", public_address=other.uuid
    )
    for address, forward in (("198.51.100.11", in_row), (other.address, whole)):
        place = {"public_address": address, "public_port": 30007, "protocol": "tcp"}
        assert Program(alice).get("forwards/explain/", **place).status_code == 200
        told = asked.pop()
        assert (told["forward"], told["public_port"]) == (str(forward.uuid), 30007)


@pytest.mark.parametrize(
    ("query", "field"),
    [({"source": "somewhere"}, "source"), ({"protocol": "udp"}, "protocol"), ({"x": "1"}, "x")],
)
def test_a_wrong_query_is_named(
    alice: User, forward: Forward, query: dict[str, str], field: str
) -> None:
    answer = Program(alice).get(f"forwards/{forward.uuid}/explain/", **query)
    assert (answer.status_code, answer.data["field"]) == (400, field)


def test_the_way_out_is_asked_for_guests_and_vms(
    alice: User, forward: Forward, asked: list[dict[str, Any]]
) -> None:
    reservation = forward.reservation
    vm = reservation.nic.vm
    assert Program(alice).get(f"reservations/{reservation.uuid}/explain/").status_code == 200
    assert Program(alice).get(f"vms/{vm.uuid}/explain/").status_code == 200
    assert [body["reservation"] for body in asked] == [str(reservation.uuid)] * 2


def test_what_the_rows_know_needs_no_host(
    actor: Actor, alice: User, forward: Forward, network: Network
) -> None:
    path = f"forwards/{forward.uuid}/explain/"
    actions.pause_forward(actor, forward.uuid)
    network.refresh_from_db()
    finish_job(network.job)
    assert Program(alice).get(path).data["broken"] == "paused"
    actions.change_network(actor, network.uuid, name="other")
    network.refresh_from_db()
    fail_job(network.job, "The disk is full.", remedy="Make room.")
    step = Program(alice).get(path).data["steps"][0]
    assert (step["key"], step["remedy"]) == ("told", "Make room.")
    assert "The disk is full." in step["found"]
    actions.resume_forward(actor, forward.uuid)
    finish_job(Network.objects.get(pk=network.pk).job)
    attention = {str(forward.uuid): "The host listens there."}
    Network.objects.filter(pk=network.pk).update(attention=attention)
    assert Program(alice).get(path).data["broken"] == "refused"


def test_peers_are_asked_of_once_they_agreed_and_either_can_be_repaired(
    actor: Actor, alice: User, network: Network, asked: list[dict[str, Any]], client: Client
) -> None:
    other = actions.create_network(actor, name="b", ipv4_subnet="10.61.0.0/24")
    asked_for = actions.ask_peering(actor, network=network.uuid, peer=other.uuid)
    assert Program(alice).get(f"peerings/{asked_for.uuid}/explain/").data["broken"] == "accepted"
    actions.accept_peering(actor, asked_for.uuid)
    for each in (network, other):
        finish_job(Network.objects.get(pk=each.pk).job)
    client.force_login(alice)
    page = client.get(f"/peerings/{asked_for.uuid}/why/now/").content.decode()
    assert "It stops here: chain ip filter FORWARD lets it through? No." in page
    for each in (network, other):
        assert f"The host has what was asked for of {each.name}" in page
        assert f'action="/networks/{each.uuid}/repair/"' in page


def test_the_page_is_there_before_the_host_is_asked(
    alice: User, forward: Forward, client: Client
) -> None:
    client.force_login(alice)
    page = client.get(f"/forwards/{forward.uuid}/why/?source=198.51.100.7").content.decode()
    assert f'hx-get="/forwards/{forward.uuid}/why/now/?source=198.51.100.7"' in page
    silent = client.get(f"/forwards/{forward.uuid}/why/now/", headers={"HX-Request": "true"})
    assert silent.status_code == 200
    assert "Host not answering" in silent.content.decode()
    assert "<html" not in silent.content.decode()


def test_the_break_comes_with_the_button_that_mends_it(
    alice: User, bob: User, forward: Forward, asked: list[dict[str, Any]], client: Client
) -> None:
    client.force_login(alice)
    path = f"/forwards/{forward.uuid}/why/now/"
    page = client.get(path).content.decode()
    assert "<html" in page
    assert f'action="/networks/{forward.network.uuid}/repair/"' in page
    assert page.index("Run this.") < page.index("What comes after it") < page.index("Untried")
    client.force_login(bob)
    assert "/repair/" not in client.get(path).content.decode()
    out = client.get(f"/reservations/{forward.reservation.uuid}/why/now/").content.decode()
    assert "Run this." in out
    assert len(asked) == 3


def test_requests_by_a_host_name_are_explained_on_a_page(
    alice: User, host_name: HostName, asked: list[dict[str, Any]], client: Client
) -> None:
    client.force_login(alice)
    path = f"/host-names/{host_name.uuid}/"
    assert f'href="{path}why/"' in client.get(path).content.decode()
    assert f'hx-get="{path}why/now/"' in client.get(f"{path}why/").content.decode()
    assert "Run this." in client.get(f"{path}why/now/").content.decode()
    assert asked[0]["host_name"] == str(host_name.uuid)


def test_pages_ask_no_more_often_than_programs(
    alice: User, forward: Forward, asked: list[dict[str, Any]], client: Client, settings: Any
) -> None:
    cache.clear()
    settings.KVMWEB_API_RATE = "2/min"
    client.force_login(alice)
    path = f"/forwards/{forward.uuid}/why/now/"
    assert [client.get(path).status_code for _ in range(3)] == [200, 200, 429]
    refused = client.get(path)
    assert "Try again in" in refused.content.decode()
    assert len(asked) == 2
    dry = client.post(f"/networks/{forward.network.uuid}/delete/", {"dry_run": "1"})
    assert dry.status_code == 429
    assert client.get(f"/forwards/{forward.uuid}/why/").status_code == 200


def test_a_typo_in_the_source_is_said_on_the_page(
    alice: User, forward: Forward, client: Client
) -> None:
    client.force_login(alice)
    page = client.get(f"/forwards/{forward.uuid}/why/now/?source=me")
    assert page.status_code == 200
    assert "not an IP address" in page.content.decode()
