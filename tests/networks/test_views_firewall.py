"""Where a network's page speaks of the firewall of its guests."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from kvmweb.projects.actions import Actor
from networks.actions import change_network
from networks.models import Forward, Network

pytestmark = [pytest.mark.db, pytest.mark.django_db]


def speaks(client: Client, network: Network) -> bool:
    page = client.get(reverse("network", args=[network.uuid])).content.decode()
    return reverse("network-firewall", args=[network.uuid]) in page


def test_only_guests_that_are_reachable_as_a_whole_have_one(
    client: Client, alice: User, network: Network, forward: Forward
) -> None:
    client.force_login(alice)
    assert not speaks(client, network)
    Forward.objects.filter(pk=forward.pk).update(protocol=Forward.Protocol.ALL)
    assert speaks(client, network)
    Forward.objects.filter(pk=forward.pk).update(protocol=Forward.Protocol.TCP)
    change_network(Actor(alice), network.uuid, mode="routed", confirm=True)
    assert speaks(client, network)
