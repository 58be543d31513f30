"""Networks that reach each other: one asks, the other accepts, either ends it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from kvmweb.core.errors import Conflict, Forbidden, Invalid, NotFound
from kvmweb.hosts.models import Host
from kvmweb.projects.actions import Actor, create_project
from networks.actions import (
    accept_peering,
    ask_peering,
    create_network,
    delete_network,
    end_peering,
)
from networks.models import Network, Peering
from networks.spec_from_rows import build_spec
from tests.cast import finish_job
from tests.refusals import refused

pytestmark = [pytest.mark.db, pytest.mark.django_db]


@pytest.fixture
def lab(actor: Actor, network: Network) -> Network:
    made = create_network(actor, name="lab", ipv4_subnet="10.61.0.0/24")
    finish_job(made.job)
    made.refresh_from_db()
    return made


def peers(network: Network) -> list[tuple[str, str]]:
    network.refresh_from_db()
    return [(peer["bridge"], peer["subnet"]) for peer in build_spec(network)["peers"]]


def test_each_network_has_its_half_from_when_it_agreed(
    actor: Actor, network: Network, lab: Network
) -> None:
    peering = ask_peering(actor, network=network.uuid, peer=lab.uuid)
    assert peers(network) == [(lab.bridge, "10.61.0.0/24")]
    assert peers(lab) == []
    assert peering.job is not None
    assert peering.job.title == "Let network lab reach home"
    accept_peering(actor, peering.uuid)
    assert peers(lab) == [(network.bridge, "10.60.0.0/24")]


@pytest.mark.parametrize("accepted", [True, False])
def test_ending_it_takes_both_halves_and_the_row_goes_with_the_hosts_answer(
    actor: Actor, network: Network, lab: Network, accepted: bool
) -> None:
    peering = ask_peering(actor, network=network.uuid, peer=lab.uuid)
    if accepted:
        accept_peering(actor, peering.uuid)
    end_peering(actor, peering.uuid)
    assert peers(network) == peers(lab) == []
    with refused(Conflict, code="deleting"):
        end_peering(actor, peering.uuid)
    finish_job(network.job)
    assert not Peering.objects.exists()
    assert ask_peering(actor, network=lab.uuid, peer=network.uuid).present


def test_a_network_that_goes_leaves_its_peers_without_it(
    actor: Actor, network: Network, lab: Network
) -> None:
    accept_peering(actor, ask_peering(actor, network=network.uuid, peer=lab.uuid).uuid)
    before = Network.objects.get(pk=network.pk).generation
    delete_network(actor, lab.uuid)
    assert peers(network) == []
    assert network.generation == before + 1
    lab.refresh_from_db()
    finish_job(lab.job)
    assert not Peering.objects.exists()


def test_what_cannot_be_peers_is_refused(actor: Actor, network: Network, lab: Network) -> None:
    other = create_project(actor, name="Other")
    foreign = create_network(actor, name="theirs", project=other.uuid)
    far = create_network(actor, name="far", host=Host.objects.create(name="h2").uuid)
    for peer, error, code in (
        (network, Invalid, "invalid"),
        (foreign, Invalid, "invalid"),
        (far, Conflict, "different_hosts"),
    ):
        with refused(error, "peer", code=code):
            ask_peering(actor, network=network.uuid, peer=peer.uuid)
    ask_peering(actor, network=network.uuid, peer=lab.uuid)
    with refused(Conflict, "peer", code="already_peers"):
        ask_peering(actor, network=lab.uuid, peer=network.uuid)


def test_it_is_accepted_once(actor: Actor, network: Network, lab: Network) -> None:
    peering = ask_peering(actor, network=network.uuid, peer=lab.uuid)
    accept_peering(actor, peering.uuid)
    with refused(Conflict, code="already_accepted"):
        accept_peering(actor, peering.uuid)


def test_the_database_holds_one_of_two_networks(network: Network, lab: Network) -> None:
    Peering.objects.create(network=network, peer=lab)
    for pair in ((network, lab), (lab, network), (lab, lab)):
        with pytest.raises(IntegrityError), transaction.atomic():
            Peering.objects.create(network=pair[0], peer=pair[1])


def test_readers_and_strangers_change_nothing(
    actor: Actor, bob: User, mallory: User, network: Network, lab: Network
) -> None:
    peering = ask_peering(actor, network=network.uuid, peer=lab.uuid)
    for user, error in ((bob, Forbidden), (mallory, NotFound)):
        with pytest.raises(error):
            accept_peering(Actor(user), peering.uuid)
        with pytest.raises(error):
            end_peering(Actor(user), peering.uuid)
    own = create_network(Actor(mallory), name="own")
    with refused(Invalid, "peer", code="no_such_peer"):
        ask_peering(Actor(mallory), network=own.uuid, peer=lab.uuid)


def test_the_pages_of_both_say_who_may_talk_to_whom(
    alice: User, network: Network, lab: Network, client: Client
) -> None:
    client.force_login(alice)
    home, there = (reverse("network", args=[each.uuid]) for each in (network, lab))
    assert "No other network reaches it" in client.get(home).content.decode()
    client.post(reverse("peering-new", args=[network.uuid]), {"peer": str(lab.uuid)})
    peering = Peering.objects.get()
    assert "has not accepted yet" in client.get(home).content.decode()
    assert "asks that its guests and these reach each other" in client.get(there).content.decode()
    client.post(reverse("peering-accept", args=[peering.uuid]))
    for page in (home, there):
        shown = client.get(page).content.decode()
        assert "They and the guests of" in shown
        assert reverse("peering-end", args=[peering.uuid]) in shown
