"""Preview: the same change, asked with `dry_run`, tells what it would do and does nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.test import Client

from kvmweb.api.models import KeptAnswer
from kvmweb.hosts.models import Host
from kvmweb.jobs.models import Job
from kvmweb.projects.models import AuditEvent
from networks.models import Forward, Network, PortClaim, Reservation
from tests.asking import answering
from tests.kvmweb.api.conftest import Program
from tests.lab.broker import Broker
from vms.models import Image, Vm

pytestmark = pytest.mark.db

Heard = list[dict[str, Any]]
STEP = {"sentence": "Opened TCP 198.51.100.11:8080", "detail": ["+ inet fwd4 { … }"]}


@pytest.fixture
def asked(host: Host, tmp_path: Path, settings: LazySettings) -> Iterator[Heard]:
    """The host plans STEP for whatever it is shown; the specs it was shown."""
    broker = Broker(tmp_path)
    broker.start()
    settings.REDIS_URL = f"unix://{broker.socket}"
    specs: Heard = []

    def plan(spec: dict[str, Any]) -> object:
        specs.append(spec)
        return {"steps": [STEP], "guests": ["web-1"], "refused": {}}

    with answering(host, broker, {"plan network": plan, "plan vm": plan}):
        yield specs
    broker.stop()


def everything() -> list[object]:
    """All that a change could have left behind."""
    models = (Network, Reservation, Forward, PortClaim, Vm, Job, AuditEvent, KeptAnswer)
    rows = [list(model._default_manager.order_by("pk").values()) for model in models]
    return list(rows)


Ask = Callable[[Forward, Image], tuple[str, str, dict[str, Any] | None]]
CHANGES: dict[str, tuple[Ask, int]] = {
    "a new network": (lambda _f, _i: ("post", "networks/", {"name": "n2"}), 1),
    "a network's name": (
        lambda f, _i: ("patch", f"networks/{f.network.uuid}/", {"name": "other"}),
        1,
    ),
    "a new reservation": (
        lambda f, _i: ("post", "reservations/", {"name": "r", "network": str(f.network.uuid)}),
        1,
    ),
    "a new forward": (
        lambda f, _i: (
            "post",
            "forwards/",
            {"reservation": str(f.reservation.uuid), "target_port": 80},
        ),
        1,
    ),
    "another target port": (
        lambda f, _i: ("patch", f"forwards/{f.uuid}/", {"target_port": 23}),
        1,
    ),
    "the end of a forward": (lambda f, _i: ("delete", f"forwards/{f.uuid}/", None), 1),
    "a new VM": (
        lambda f, i: (
            "post",
            "vms/",
            {"name": "v2", "network": str(f.network.uuid), "image": str(i.uuid)},
        ),
        2,
    ),
    "a pause": (lambda f, _i: ("post", f"forwards/{f.uuid}/pause/", {}), 1),
    "many forwards": (
        lambda f, _i: (
            "post",
            "forwards/bulk/",
            {"forwards": [{"reservation": str(f.reservation.uuid), "target_port": 80}] * 2},
        ),
        1,
    ),
    "IPv6": (lambda f, _i: ("post", f"networks/{f.network.uuid}/ipv6/", {"ipv6": "nat66"}), 1),
    "services": (
        lambda f, _i: ("patch", f"networks/{f.network.uuid}/services/", {"lease_minutes": 30}),
        1,
    ),
    "the firewall of a guest": (
        lambda f, _i: ("post", f"reservations/{f.reservation.uuid}/firewall/", {"rule_sets": []}),
        1,
    ),
    "another power": (
        lambda f, _i: ("post", f"vms/{f.reservation.nic.vm.uuid}/force-off/", {}),
        1,
    ),
    "the end of a VM": (lambda f, _i: ("delete", f"vms/{f.reservation.nic.vm.uuid}/", None), 1),
}


@pytest.mark.parametrize("what", list(CHANGES))
def test_a_preview_tells_and_does_nothing(
    alice: User, forward: Forward, image: Image, asked: Heard, what: str
) -> None:
    ask, subjects = CHANGES[what]
    method, path, body = ask(forward, image)
    alices = Program(alice)
    before = everything()
    answer = alices.ask(method, f"{path}?dry_run=true", body, **{"Idempotency-Key": "k"})
    assert answer.status_code == 200, answer.data
    assert everything() == before
    assert len(answer.data["plans"]) == len(asked) >= subjects
    for plan in answer.data["plans"]:
        assert (plan["steps"], plan["guests"], plan["problem"]) == ([STEP], ["web-1"], "")
    real = alices.ask(method, path, body, **{"Idempotency-Key": "k"})
    assert real.status_code == 202, real.data
    assert everything() != before


def test_a_change_of_rows_alone_changes_no_host(alice: User, forward: Forward) -> None:
    alices = Program(alice)
    before = everything()
    answer = alices.post("rule-sets/?dry_run=true", {"name": "web"})
    assert (answer.status_code, answer.data["plans"]) == (200, [])
    assert everything() == before


FORMS: dict[str, Callable[[Forward], tuple[str, dict[str, Any]]]] = {
    "new forward": lambda f: (
        "/forwards/new/",
        {"reservation": str(f.reservation.uuid), "target_port": 80, "protocol": "tcp"},
    ),
    "end of a forward": lambda f: (f"/forwards/{f.uuid}/delete/", {}),
    "new network": lambda _f: ("/networks/new/", {"name": "n2", "mode": "nat"}),
    "IPv6": lambda f: (f"/networks/{f.network.uuid}/ipv6/", {"ipv6": "nat66"}),
    "services": lambda f: (f"/networks/{f.network.uuid}/services/", {"lease_minutes": "30"}),
    "firewall": lambda f: (f"/reservations/{f.reservation.uuid}/firewall/", {"rule_sets": []}),
    "end of a VM": lambda f: (
        f"/vms/{f.reservation.nic.vm.uuid}/delete/",
        {"name": f.reservation.nic.vm.name},
    ),
    "size of a VM": lambda f: (
        f"/vms/{f.reservation.nic.vm.uuid}/settings/",
        {"name": f.reservation.nic.vm.name, "vcpus": 2, "memory_mib": 1024},
    ),
    "new reservation": lambda f: (
        f"/networks/{f.network.uuid}/reservations/new/",
        {"name": "printer"},
    ),
}


@pytest.mark.parametrize("what", list(FORMS))
def test_a_form_shows_it_before_saving(
    alice: User, forward: Forward, asked: Heard, client: Client, what: str
) -> None:
    client.force_login(alice)
    path, data = FORMS[what](forward)
    assert 'name="dry_run"' in client.get(path).content.decode()
    before = everything()
    page = client.post(path, data | {"dry_run": "true"})
    assert page.status_code == 200
    assert everything() == before
    text = page.content.decode()
    assert str(STEP["sentence"]) in text
    assert "+ inet fwd4" in text
    assert "Touches web-1." in text
    assert client.post(path, data).status_code == 302
    assert everything() != before


def test_what_has_to_be_confirmed_is_told_with_what_would_be_done(
    alice: User, forward: Forward, asked: Heard, client: Client
) -> None:
    alices, path = Program(alice), f"networks/{forward.network.uuid}/"
    before = everything()
    narrowed = {"egress": "listed", "egress_rules": []}
    (plan,) = alices.ask("patch", f"{path}?dry_run=true", narrowed).data["plans"]
    assert plan["steps"] == [STEP]
    assert plan["confirm"].startswith("1 VM runs on this network. Their open connections")
    assert alices.ask("patch", path, narrowed).data["code"] == "confirmation_needed"
    sure = narrowed | {"confirm": True}
    (plan,) = alices.ask("patch", f"{path}?dry_run=true", sure).data["plans"]
    assert (plan["steps"], plan["confirm"]) == ([STEP], "")
    client.force_login(alice)
    form = {"name": "home", "mode": "routed", "egress": "allowed", "mtu": 1500, "dry_run": "true"}
    page = client.post(f"/networks/{forward.network.uuid}/settings/", form).content.decode()
    assert "1 VM runs on this network." in page
    assert "It has to be confirmed." in page
    assert str(STEP["sentence"]) in page
    assert everything() == before


def test_a_form_that_cannot_be_saved_says_so_in_its_preview(
    alice: User, forward: Forward, client: Client
) -> None:
    client.force_login(alice)
    data = {"reservation": str(forward.reservation.uuid), "protocol": "tcp", "dry_run": "true"}
    wrong = client.post("/forwards/new/", data | {"target_port": 80, "public_port": 20022})
    assert wrong.status_code == 409
    assert "It cannot be saved as it is." in wrong.content.decode()
    silent = client.post("/forwards/new/", data | {"target_port": 80})
    assert "Host not answering" in silent.content.decode()


def test_the_host_is_shown_what_it_would_be_sent(
    alice: User, forward: Forward, asked: Heard
) -> None:
    body = {"reservation": str(forward.reservation.uuid), "target_port": 80, "public_port": 20080}
    Program(alice).post("forwards/?dry_run=true", body)
    (spec,) = asked
    assert spec["generation"] == forward.network.generation + 1
    assert [each["public_port"] for each in spec["forwards"]] == [20022, 20080]


def test_what_would_be_refused_is_refused(
    alice: User, bob: User, mallory: User, forward: Forward, asked: Heard
) -> None:
    path = f"forwards/{forward.uuid}/?dry_run=true"
    assert Program(bob).patch(path, {"target_port": 23}).status_code == 403
    assert Program(mallory).patch(path, {"target_port": 23}).status_code == 404
    body = {"reservation": str(forward.reservation.uuid), "target_port": 1, "public_port": 20022}
    taken = Program(alice).post("forwards/?dry_run=true", body)
    assert (taken.status_code, taken.data["field"]) == (409, "public_port")
    odd = Program(alice).patch(path.replace("true", "perhaps"), {"target_port": 23})
    assert (odd.status_code, odd.data["field"]) == (400, "dry_run")
    assert asked == []


def test_a_silent_host_is_a_504_and_nothing_happened(alice: User, forward: Forward) -> None:
    alices = Program(alice)
    before = everything()
    answer = alices.delete(f"forwards/{forward.uuid}/?dry_run=true")
    assert (answer.status_code, answer.data["code"]) == (504, "host_not_answering")
    assert everything() == before
