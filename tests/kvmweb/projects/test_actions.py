"""Projects, tokens, and the trail that every action leaves."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone

from kvmweb.core.errors import Invalid
from kvmweb.projects.actions import (
    TOKEN_PREFIX,
    Actor,
    audit,
    create_project,
    create_token,
    personal_project,
    project_for,
    token_digest,
    user_of_token,
)
from kvmweb.projects.models import ApiToken, AuditEvent, Membership, Project, Role
from networks.models import Network
from tests.refusals import refused

pytestmark = [pytest.mark.db, pytest.mark.django_db]


def test_everybody_gets_one_project_of_their_own(alice: User) -> None:
    project = personal_project(alice)
    assert personal_project(alice) == project
    assert project.name == "alice"
    assert Membership.objects.get(project=project).role == Role.OWNER


def test_who_makes_a_project_owns_it(alice: User, mallory: User) -> None:
    project = create_project(Actor(alice), name="  Web shop ")
    assert project.name == "Web shop"
    assert project_for(Actor(alice), project.uuid) == project
    assert not Project.objects.visible_to(mallory).filter(pk=project.pk).exists()


@pytest.mark.parametrize("name", ["", "  ", "x" * 300, "<b>shop</b>", "a\nb", "a\x00b"])
def test_an_unfit_project_name_is_refused(alice: User, name: str) -> None:
    with refused(Invalid, "name", code="invalid_name"):
        create_project(Actor(alice), name=name)


def test_a_token_is_shown_once_and_kept_as_a_digest(alice: User) -> None:
    token, secret = create_token(Actor(alice), name="backup")
    assert secret.startswith(TOKEN_PREFIX)
    stored = ApiToken.objects.values().get()
    assert secret not in map(str, stored.values())
    assert stored["digest"] == token_digest(secret)
    assert secret.startswith(token.prefix)
    assert len(token.prefix) < len(secret) / 2


def test_a_token_names_its_user_until_it_ends(alice: User) -> None:
    token, secret = create_token(Actor(alice), name="backup")
    found = user_of_token(secret)
    assert found is not None
    assert found[0] == alice
    assert ApiToken.objects.get().last_used_at is not None
    token.expires_at = timezone.now() - timedelta(seconds=1)
    token.save()
    assert user_of_token(secret) is None


def test_a_token_of_somebody_switched_off_is_none(alice: User) -> None:
    _token, secret = create_token(Actor(alice), name="backup")
    User.objects.update(is_active=False)
    assert user_of_token(secret) is None


@pytest.mark.parametrize("secret", ["", "x", TOKEN_PREFIX, "é" * 40])
def test_what_is_no_token_names_nobody(alice: User, secret: str) -> None:
    create_token(Actor(alice), name="backup")
    assert user_of_token(secret) is None


def test_the_command_prints_a_token_that_works(alice: User) -> None:
    out = StringIO()
    call_command("token", "create", "alice", stdout=out)
    found = user_of_token(out.getvalue().strip())
    assert found is not None
    assert found[0] == alice
    with pytest.raises(CommandError, match="nobody"):
        call_command("token", "create", "nobody", stdout=out)


def test_the_trail_outlives_its_user(alice: User, network: Network) -> None:
    audit(Actor(alice, source="198.51.100.7"), "network.look", network, project=network.project)
    Membership.objects.all().delete()
    alice.delete()
    event = AuditEvent.objects.get(action="network.look")
    assert (event.actor, event.actor_name, event.object_name) == (None, "alice", "home")
    assert (event.object_kind, event.source) == ("network", "198.51.100.7")


def test_the_trail_of_a_project_is_its_members_to_see(
    alice: User, bob: User, mallory: User, olga: User, network: Network
) -> None:
    event = AuditEvent.objects.get(action="network.create")
    for user in (alice, bob, olga):
        assert event in AuditEvent.objects.visible_to(user)
    assert event not in AuditEvent.objects.visible_to(mallory)
