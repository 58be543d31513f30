"""The one gate between a user and an object."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, User

from kvmweb.core.access import get_for, is_operator
from kvmweb.core.errors import Forbidden, NotFound
from kvmweb.projects.models import Membership, Role
from networks.models import Forward, Network
from tests.cast import missing

pytestmark = [pytest.mark.db, pytest.mark.django_db]


def test_members_and_operators_get_the_object(
    alice: User, bob: User, olga: User, network: Network
) -> None:
    for user in (alice, bob, olga):
        assert get_for(user, Network, network.uuid) == network
    for user in (alice, olga):
        assert get_for(user, Network, str(network.uuid), write=True, lock=True) == network


def test_a_reader_may_not_change_it(bob: User, network: Network) -> None:
    with pytest.raises(Forbidden):
        get_for(bob, Network, network.uuid, write=True)
    Membership.objects.filter(user=bob, project=network.project).update(role=Role.MEMBER)
    assert get_for(bob, Network, network.uuid, write=True) == network


def test_a_stranger_is_told_the_same_as_of_nothing(mallory: User, forward: Forward) -> None:
    messages = set()
    for uuid in (forward.uuid, missing(), "nonsense", ""):
        with pytest.raises(NotFound) as caught:
            get_for(mallory, Forward, uuid)
        messages.add(caught.value.message)
    assert messages == {"There is no such forward."}


def test_nobody_signed_in_sees_nothing(network: Network) -> None:
    with pytest.raises(NotFound):
        get_for(AnonymousUser(), Network, network.uuid)


def test_staff_that_was_switched_off_operates_nothing(olga: User, network: Network) -> None:
    assert is_operator(olga)
    olga.is_active = False
    assert not is_operator(olga)
    with pytest.raises(NotFound):
        get_for(olga, Network, network.uuid)
