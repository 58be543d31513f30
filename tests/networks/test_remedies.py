"""Operators have hosts apply the remedies these propose; how it ended is written down."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from kvmweb.core.envelope import seal
from kvmweb.core.errors import Conflict, Invalid, NotFound
from kvmweb.hosts.models import Host
from kvmweb.projects.actions import Actor
from kvmweb.projects.models import AuditEvent
from networks.actions import apply_remedy
from networks.models import Remedy
from networks.tasks import mended
from tests.kvmweb.api.conftest import Program

pytestmark = pytest.mark.db

DOES = "iptables-nft -I DOCKER-USER -i kw+ -j ACCEPT"
FINDING: dict[str, str] = {
    "id": "firewall:forward:ip filter FORWARD",
    "level": "bad",
    "found": "Docker: the chain ip filter FORWARD drops what is forwarded.",
    "breaks": "Nobody reaches guests through forwards.",
    "remedy": f"Run on the host: {DOES}.",
    "does": DOES,
}
NOT_OURS = FINDING | {"id": "router", "level": "note", "does": ""}


@pytest.fixture
def found(host: Host) -> Host:
    host.facts = {**host.facts, "findings": [FINDING, NOT_OURS]}
    host.save()
    return host


@pytest.fixture
def operator(olga: User) -> Actor:
    return Actor(olga)


def answer(host: Host, remedy: Remedy, **said: Any) -> None:
    mended(dict(seal(host.name, host.key, {"id": str(remedy.uuid), "ok": True, **said})))
    remedy.refresh_from_db()
    host.refresh_from_db()


def test_what_helped_is_no_finding_any_more(found: Host, operator: Actor) -> None:
    remedy = apply_remedy(operator, found.uuid, finding=FINDING["id"])
    assert remedy.state.value == "waiting"
    event = AuditEvent.objects.get(action="host.apply_remedy")
    assert event.data == {"finding": FINDING["id"], "does": DOES}
    answer(found, remedy)
    assert remedy.state.value == "repaired"
    assert [one["id"] for one in found.findings] == ["router"]


def test_what_did_not_help_says_why(found: Host, operator: Actor) -> None:
    remedy = apply_remedy(operator, found.uuid, finding=FINDING["id"])
    answer(found, remedy, ok=False, message="“ufw” failed: no.")
    assert remedy.state.value == "needs_attention"
    assert remedy.message == "“ufw” failed: no."
    assert len(found.findings) == 2
    answer(found, remedy)  # a second answer changes nothing
    assert remedy.message


def test_one_at_a_time(found: Host, operator: Actor) -> None:
    apply_remedy(operator, found.uuid, finding=FINDING["id"])
    with pytest.raises(Conflict):
        apply_remedy(operator, found.uuid, finding=FINDING["id"])


@pytest.mark.parametrize(
    ("finding", "code"), [("gone", "no_such_finding"), ("router", "not_ours_to_apply")]
)
def test_only_what_the_host_proposes_is_asked_for(
    found: Host, operator: Actor, finding: str, code: str
) -> None:
    with pytest.raises(Invalid) as caught:
        apply_remedy(operator, found.uuid, finding=finding)
    assert caught.value.code == code
    assert not Remedy.objects.exists()


def test_nobody_but_operators_has_anything_run(found: Host, actor: Actor) -> None:
    with pytest.raises(NotFound):
        apply_remedy(actor, found.uuid, finding=FINDING["id"])


def test_a_host_answers_for_itself_alone(found: Host, operator: Actor) -> None:
    remedy = apply_remedy(operator, found.uuid, finding=FINDING["id"])
    answer(Host.objects.create(name="h2"), remedy)
    assert remedy.ended_at is None
    mended(dict(seal(found.name, found.key, {"id": "x", "ok": 5})))  # and the worker goes on


def test_the_page_says_what_would_run_before_it_does(
    found: Host, olga: User, client: Client
) -> None:
    client.force_login(olga)
    page = reverse("host", args=[found.uuid])
    text = client.get(page).content.decode()
    for words in (FINDING["found"], FINDING["breaks"], DOES, "Have the host run it"):
        assert words in text
    assert text.count("Have the host run it") == 1
    ask = reverse("host-remedy", args=[found.uuid])
    assert client.post(ask, {"finding": FINDING["id"]}).status_code == 302
    text = client.get(page).content.decode()
    assert "by olga" in text
    assert "Something is in the way" in client.get(reverse("hosts")).content.decode()


def test_programs_ask_the_same(found: Host, olga: User) -> None:
    program = Program(olga)
    shown = program.get(f"hosts/{found.uuid}/").data["findings"]
    assert [dict(one) for one in shown] == [FINDING, NOT_OURS]
    made = program.post(f"hosts/{found.uuid}/remedy/", {"finding": FINDING["id"]})
    assert (made.status_code, made.data["state"]) == (201, "waiting")
    listed = program.get("remedies/", host=found.uuid).data["results"]
    assert [one["does"] for one in listed] == [DOES]
    again = program.post(f"hosts/{found.uuid}/remedy/", {"finding": "gone"})
    assert (again.status_code, again.data["field"]) == (400, "finding")
