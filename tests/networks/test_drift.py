"""What hosts found changed by others is written down, shown to whose it is, and ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from kvmweb.core.envelope import seal
from kvmweb.core.errors import Invalid, NotFound
from kvmweb.hosts.models import Host
from kvmweb.jobs.models import Job
from kvmweb.projects.actions import Actor
from kvmweb.projects.models import AuditEvent
from networks import drift
from networks.actions import repair_network, set_repairs
from networks.models import Drift, Network
from networks.spec_from_rows import build_spec
from networks.tasks import drifted
from tests.cast import finish_job
from tests.kvmweb.api.conftest import Program

pytestmark = pytest.mark.db


def said(network: Network, **changes: Any) -> dict[str, Any]:
    return {
        "id": str(uuid4()),
        "at": datetime.now(UTC).isoformat(),
        "subject": str(network.uuid),
        "missing": ["Switched bridge kw1 on"],
        "repaired": True,
        "only_told": False,
        "message": "",
        **changes,
    }


def test_what_was_repaired_is_over_at_once(host: Host, network: Network) -> None:
    payload = said(network)
    for _ in range(2):  # the outbox may send it twice
        drifted(dict(seal(host.name, host.key, payload)))
    found = Drift.objects.get()
    assert found.network == network
    assert found.missing == payload["missing"]
    assert found.state.value == "repaired"


def test_what_is_only_told_ends_with_the_next_word_about_it(host: Host, network: Network) -> None:
    drift.record(host, said(network, repaired=False, only_told=True))
    assert Drift.objects.get().state.value == "needs_attention"
    drift.record(host, said(network, missing=[]))
    assert Drift.objects.get().ended_at is not None


def test_what_is_open_ends_with_a_repair(host: Host, network: Network, actor: Actor) -> None:
    drift.record(host, said(network, repaired=False, message="The kernel refused it."))
    finish_job(repair_network(actor, network.uuid))
    assert not Drift.objects.open().exists()


def test_a_host_tells_of_its_own_networks_alone(network: Network) -> None:
    drift.record(Host.objects.create(name="h2"), said(network))
    assert not Drift.objects.exists()


def test_it_is_kept_after_the_network_and_for_a_while(host: Host, network: Network) -> None:
    drift.record(host, said(network))
    Drift.objects.update(at=timezone.now() - drift.KEPT - timedelta(days=1))
    drift.record(host, said(network))
    network.delete()
    kept = Drift.objects.get()
    assert (kept.network, kept.network_name) == (None, "home")


@pytest.mark.parametrize("change", [{"at": "now"}, {"subject": "x"}, {"missing": [5]}])
def test_impossible_words_are_refused(host: Host, network: Network, change: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match="cannot be true"):
        drift.record(host, said(network, **change))
    drifted(dict(seal(host.name, host.key, said(network, **change))))
    assert not Drift.objects.exists()


def test_members_see_that_of_their_networks_and_strangers_nothing(
    host: Host, network: Network, alice: User, bob: User, mallory: User, olga: User, client: Client
) -> None:
    drift.record(host, said(network, repaired=False, only_told=True))
    uuid = Drift.objects.get().uuid
    for user, seen in ((alice, 1), (bob, 1), (mallory, 0), (olga, 1)):
        program = Program(user)
        assert len(program.get("drifts/", open=True).data["results"]) == seen
        assert program.get(f"drifts/{uuid}/").status_code == (200 if seen else 404)
    repair = reverse("network-repair", args=[network.uuid])
    for user, offered in ((alice, True), (bob, False)):
        client.force_login(user)
        page = client.get(reverse("network", args=[network.uuid])).content.decode()
        assert "Switched bridge kw1 on" in page
        assert (f'action="{repair}"' in page) == offered
    client.force_login(olga)
    page = client.get(reverse("host", args=[host.uuid])).content.decode()
    assert "Switched bridge kw1 on" in page
    assert f'action="{repair}"' in page


def test_a_host_that_only_tells_has_all_its_networks_told_so(
    host: Host, network: Network, olga: User
) -> None:
    assert build_spec(network)["repairs"] is True
    set_repairs(Actor(olga), host.uuid, repairs=False)
    network.refresh_from_db()
    assert build_spec(network)["repairs"] is False
    assert network.job is not None
    assert network.job.title == "Only tell what others change"
    assert AuditEvent.objects.filter(action="host.set_repairs").count() == 1
    jobs = Job.objects.count()
    set_repairs(Actor(olga), host.uuid, repairs=False)  # it is so already
    assert Job.objects.count() == jobs


def test_only_operators_say_whether_a_host_repairs(host: Host, actor: Actor) -> None:
    with pytest.raises(NotFound):
        set_repairs(actor, host.uuid, repairs=False)
    host.refresh_from_db()
    assert host.repairs


def test_the_switch_is_on_the_hosts_page_and_in_rest(
    host: Host, olga: User, client: Client
) -> None:
    client.force_login(olga)
    page = client.get(reverse("host", args=[host.uuid])).content.decode()
    assert "Only tell" in page
    client.post(reverse("host-repairs", args=[host.uuid]), {"repairs": "0"})
    host.refresh_from_db()
    assert not host.repairs
    answer = Program(olga).patch(f"hosts/{host.uuid}/", {"repairs": True})
    assert (answer.status_code, answer.data["repairs"]) == (200, True)
