"""What was refused, on pages and by REST: for whom the network is, once they want it noted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.test import Client

from kvmweb.hosts.models import Host
from kvmweb.projects.actions import Actor
from networks.actions import apply_to_network, change_network, create_rule_set
from networks.inbound import RuleText
from networks.models import Forward, Network
from networks.spec_from_rows import build_spec
from tests.asking import answering
from tests.kvmweb.api.conftest import Program
from tests.lab.broker import Broker

pytestmark = pytest.mark.db

ONE = {
    "reason": "closed",
    "forward": "",
    "source": "198.51.100.7",
    "destination": "10.60.0.2",
    "protocol": "udp",
    "port": 53,
    "packets": 3,
    "ago": 30.0,
}

Heard = list[dict[str, Any]]


@pytest.fixture
def asked(
    host: Host, forward: Forward, actor: Actor, tmp_path: Path, settings: LazySettings
) -> Iterator[Heard]:
    """The network is noted, and its host tells of something for each reason; what it was asked."""
    change_network(actor, forward.network.uuid, logs_refused=True)
    broker = Broker(tmp_path)
    broker.start()
    settings.REDIS_URL = f"unix://{broker.socket}"
    heard: Heard = []
    guest = str(forward.reservation.uuid)
    told = [
        ONE | {"guest": guest},
        ONE | {"guest": guest, "reason": "source", "forward": str(forward.uuid), "ago": 9.0},
        ONE | {"guest": guest, "reason": "limit", "source": "", "ago": 60.0},
        ONE
        | {"guest": guest, "reason": "egress", "source": "10.60.0.2", "destination": "9.9.9.9"}
        | {"protocol": "tcp", "port": 443, "ago": 90.0},
    ]

    def refused(body: dict[str, Any]) -> object:
        heard.append(body)
        return {"logs": True, "total": len(told), "refused": told}

    with answering(host, broker, {"refused": refused}):
        yield heard
    broker.stop()


def test_programs_and_pages_tell_what_was_refused(
    bob: User, alice: User, forward: Forward, asked: Heard, client: Client
) -> None:
    vm = forward.reservation.nic.vm
    for path in (f"networks/{forward.network.uuid}", f"vms/{vm.uuid}"):
        answer = Program(bob).get(f"{path}/refused/", limit=7)
        assert answer.status_code == 200, answer.data
        assert [one["reason"] for one in answer.data["refused"]] == [
            "source",
            "closed",
            "limit",
            "egress",
        ]
        first = answer.data["refused"][0]
        assert (first["source"], first["port"], first["packets"]) == ("198.51.100.7", 53, 3)
        assert first["forward"] == str(forward.uuid)
        assert first["reservation"] == str(forward.reservation.uuid)
    assert [body["limit"] for body in asked] == [7, 7]
    assert [body["reservations"] for body in asked] == [[], [str(forward.reservation.uuid)]]

    path = f"/networks/{forward.network.uuid}/refused/"
    client.force_login(alice)
    assert f'hx-get="{path}now/"' in client.get(path).content.decode()
    part = client.get(f"{path}now/", headers={"HX-Request": "true"}).content.decode()
    assert "10.60.0.2:53" in part
    assert "a guest of another network" in part
    assert f"/reservations/{forward.reservation.uuid}/firewall/" in part
    assert part.count("List this place") == 1
    client.force_login(bob)
    part = client.get(f"{path}now/", headers={"HX-Request": "true"}).content.decode()
    assert "Allow this source" not in part, "who only reads cannot"


def test_what_was_refused_is_one_click_from_being_let_in(
    alice: User, actor: Actor, forward: Forward, asked: Heard, client: Client
) -> None:
    client.force_login(alice)
    Forward.objects.filter(pk=forward.pk).update(sources=["198.51.100.1/32"])
    rules = create_rule_set(actor, name="web", rules=[RuleText(protocol="tcp", ports="80")])
    apply_to_network(actor, forward.network.uuid, rule_sets=[rules.uuid])
    part = client.get(f"/networks/{forward.network.uuid}/refused/now/").content.decode()
    for wanted, shown in {
        f"/forwards/{forward.uuid}/?allow=198.51.100.7": "198.51.100.1\n198.51.100.7",
        f"/firewall/rule-sets/{rules.uuid}/?protocol=udp&ports=53&sources=198.51.100.7": (
            'value="198.51.100.7"'
        ),
        f"/networks/{forward.network.uuid}/settings/?place=9.9.9.9+tcp+443": "9.9.9.9 tcp 443",
    }.items():
        assert wanted.replace("&", "&amp;") in part
        assert shown in client.get(wanted).content.decode()


def test_nothing_is_noted_until_somebody_wants_it(
    alice: User, mallory: User, actor: Actor, network: Network, client: Client
) -> None:
    path = f"networks/{network.uuid}"
    assert build_spec(network)["logs"] is False
    assert Program(alice).get(f"{path}/refused/").data == {"logs": False, "total": 0, "refused": []}
    client.force_login(alice)
    page = client.get(f"/{path}/refused/").content.decode()
    assert "It is not noted." in page
    assert f"/{path}/settings/" in page
    answer = Program(alice).patch(f"{path}/", {"logs_refused": True})
    assert (answer.status_code, answer.data["logs_refused"]) == (202, True)
    network.refresh_from_db()
    assert build_spec(network)["logs"] is True
    made = Program(alice).post("networks/", {"name": "noted", "logs_refused": True})
    assert (made.status_code, made.data["logs_refused"]) == (202, True)
    client.post("/networks/new/", {"name": "noted-too", "mode": "isolated", "logs_refused": "on"})
    assert Network.objects.get(name="noted-too").logs_refused
    assert Program(mallory).get(f"{path}/refused/").status_code == 404
    silent = client.get(f"/{path}/refused/now/", headers={"HX-Request": "true"})
    assert "Host not answering" in silent.content.decode()
