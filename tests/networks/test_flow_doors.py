"""Connections on pages and by REST, and who may end them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.test import Client
from msgspec import convert

from kvmweb.hosts.models import Host
from kvmweb.projects.actions import Actor
from kvmweb.projects.models import AuditEvent
from networks.actions import add_reservation, create_network
from networks.flows import Flow
from networks.models import Forward
from tests.asking import answering
from tests.kvmweb.api.conftest import Program
from tests.lab.broker import Broker
from vms.models import Nic

pytestmark = pytest.mark.db

FLOW = {
    "id": "0000002a",
    "protocol": "tcp",
    "source": "198.51.100.1",
    "source_port": 40001,
    "destination": "198.51.100.11",
    "destination_port": 20022,
    "answers": "10.60.0.2",
    "answers_port": 22,
    "seen_as": "198.51.100.1",
    "seen_as_port": 40001,
    "state": "established",
    "replied": True,
    "timeout": 300,
    "number": 7,
    "age": None,
    "bytes_out": 2048,
    "bytes_in": 4096,
}

Heard = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def asked(host: Host, tmp_path: Path, settings: LazySettings) -> Iterator[Heard]:
    """The host has FLOW; what it was asked."""
    broker = Broker(tmp_path)
    broker.start()
    settings.REDIS_URL = f"unix://{broker.socket}"
    heard: Heard = []

    def flows(body: dict[str, Any]) -> object:
        heard.append(("flows", body))
        shown = {"direction": "in", "forward": body["forward"], "flow": FLOW}
        return {"total": 1, "searched": 1, "flows": [shown]}

    def end(body: dict[str, Any]) -> object:
        heard.append(("end", body))
        return 1

    with answering(host, broker, {"flows": flows, "end_flows": end}):
        yield heard
    broker.stop()


def test_programs_see_both_sides_of_a_translation(
    bob: User, forward: Forward, asked: Heard
) -> None:
    vm = forward.reservation.nic.vm
    bobs = Program(bob)
    for path in (f"forwards/{forward.uuid}", f"networks/{forward.network.uuid}", f"vms/{vm.uuid}"):
        answer = bobs.get(f"{path}/flows/", search="ssh", limit=10)
        assert answer.status_code == 200, answer.data
        (flow,) = answer.data["flows"]
        assert flow["original_destination"] == "198.51.100.11:20022"
        assert flow["translated_destination"] == "10.60.0.2:22"
        assert (flow["age"], flow["bytes_in"]) == (None, 4096)
    bodies = [body for _, body in asked]
    assert {(body["search"], body["limit"]) for body in bodies} == {("ssh", 10)}
    assert [body["forward"] for body in bodies] == [str(forward.uuid), "", ""]
    assert bodies[2]["reservations"] == [str(forward.reservation.uuid)]


def test_a_vm_is_asked_for_in_all_of_its_networks(
    alice: User, actor: Actor, forward: Forward, asked: Heard
) -> None:
    vm = forward.reservation.nic.vm
    other = create_network(actor, name="lab", ipv4_subnet="10.61.0.0/24")
    second = add_reservation(actor, network=other.uuid, name="web-1")
    Nic.objects.create(vm=vm, reservation=second)
    answer = Program(alice).get(f"vms/{vm.uuid}/flows/")
    assert (answer.data["total"], len(answer.data["flows"])) == (2, 2)
    first = [str(forward.network.uuid), [str(forward.reservation.uuid)]]
    assert [body["beside"] for _, body in asked] == [[], [first]], "none is told twice"
    assert [(body["network"], body["reservations"]) for _, body in asked] == [
        (str(forward.network.uuid), [str(forward.reservation.uuid)]),
        (str(other.uuid), [str(second.uuid)]),
    ]
    assert Program(alice).delete(f"vms/{vm.uuid}/flows/").data == {"ended": 2}


def test_ipv6_is_written_with_its_port_apart() -> None:
    flow = convert(FLOW | {"source": "2001:db8::1", "answers": "fd00::2"}, Flow)
    assert flow.original_source == "[2001:db8::1]:40001"
    assert flow.translated_destination == "[fd00::2]:22"


def test_ending_is_for_those_who_may_write_and_is_on_record(
    alice: User, bob: User, forward: Forward, asked: Heard
) -> None:
    path = f"forwards/{forward.uuid}/flows/"
    assert Program(bob).delete(path).status_code == 403
    assert asked == []
    answer = Program(alice).delete(f"{path}?flow=0000002a")
    assert (answer.status_code, answer.data) == (200, {"ended": 1})
    assert asked[0][1]["flow"] == "0000002a"
    event = AuditEvent.objects.get(action="forward.end_flows")
    assert (event.actor_name, event.object_uuid) == ("alice", forward.uuid)
    assert Program(alice).delete(f"{path}?flow=x;y").status_code == 400


def test_the_page_fetches_the_list_and_ends_from_it(
    alice: User, forward: Forward, asked: Heard, client: Client
) -> None:
    client.force_login(alice)
    path = f"/forwards/{forward.uuid}/flows/"
    assert f'hx-get="{path}now/?search=22"' in client.get(f"{path}?search=22").content.decode()
    assert asked == []
    part = client.get(f"{path}now/?search=22", headers={"HX-Request": "true"}).content.decode()
    assert "198.51.100.1:40001" in part
    assert "4.0 KiB" in part
    assert "<html" not in part
    assert client.post(f"{path}end/", {"flow": "0000002a"}).status_code == 302
    assert [what for what, _ in asked] == ["flows", "end"]
    assert "1 connection ended." in client.get(path).content.decode()


def test_a_silent_host_is_said_so_in_place(alice: User, forward: Forward, client: Client) -> None:
    client.force_login(alice)
    part = client.get(f"/forwards/{forward.uuid}/flows/now/", headers={"HX-Request": "true"})
    assert part.status_code == 200
    assert "Host not answering" in part.content.decode()
