"""Coming in, going out, tokens, password, theme, projects."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from kvmweb.projects.models import ApiToken, Project
from tests.cast import PASSWORD
from vms.models import Vm

pytestmark = pytest.mark.db


def test_who_comes_in_has_a_project_and_lands_where_they_wanted(client: Client, db: None) -> None:
    user = User.objects.create_user("nora", password=PASSWORD)
    sent = {"username": "nora", "password": PASSWORD, "next": "/vms/"}
    assert client.post("/login/", sent)["Location"] == "/vms/"
    assert Project.objects.get(personal_of=user).name == "nora"


def test_a_wrong_password_says_so_and_keeps_the_name(client: Client, alice: User) -> None:
    page = client.post("/login/", {"username": "alice", "password": "wrong"}).content.decode()
    assert "correct username and password" in page
    assert 'value="alice"' in page


def test_nobody_is_sent_to_another_site(client: Client, alice: User) -> None:
    sent = {"username": "alice", "password": PASSWORD, "next": "https://evil.example/"}
    assert client.post("/login/", sent)["Location"] == "/"
    away = {"theme": "dark", "next": "https://evil.example/"}
    assert client.post("/theme/", away)["Location"] == "/"


def test_logging_out_takes_a_button(client: Client, alice: User) -> None:
    client.force_login(alice)
    assert client.get("/logout/").status_code == 405
    assert client.post("/logout/")["Location"] == "/login/"
    assert client.get("/")["Location"].startswith("/login/")


def test_a_token_is_shown_once_and_can_be_revoked(client: Client, alice: User) -> None:
    client.force_login(alice)
    made = client.post("/account/tokens/", {"name": "backup", "days": "90"})
    secret = made.context["secret"]
    assert secret in made.content.decode()
    assert secret not in client.get("/account/tokens/").content.decode()
    token = ApiToken.objects.get()
    assert token.expires_at is not None
    client.post(f"/account/tokens/{token.uuid}/revoke/")
    assert not ApiToken.objects.exists()


def test_a_password_is_changed_and_the_session_stays(client: Client, alice: User) -> None:
    client.force_login(alice)
    fresh = "quite-another-secret"
    sent = {"old_password": PASSWORD, "new_password1": fresh, "new_password2": fresh}
    assert client.post("/account/password/", sent).status_code == 302
    assert client.get("/").status_code == 200
    alice.refresh_from_db()
    assert alice.check_password(fresh)


def test_a_chosen_project_narrows_every_list(client: Client, vm: Vm, bob: User) -> None:
    client.force_login(bob)
    own = Project.objects.get(personal_of=bob)
    assert b"web-1" in client.get("/vms/").content
    client.post("/project/", {"project": str(own.uuid)})
    for page in ("/", "/vms/", "/networks/", "/forwards/", "/activity/"):
        assert b"web-1" not in client.get(page).content
    client.post("/project/", {"project": ""})
    assert b"web-1" in client.get("/vms/").content


def test_what_breaks_on_our_side_never_shows_its_inside(
    client: Client, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_user: User) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("kvmweb.ui.pages.overview.user_of", broken)
    client.force_login(alice)
    client.raise_request_exception = False
    answer = client.get("/")
    assert answer.status_code == 500
    assert b"Something broke on our side" in answer.content
    assert b"secret detail" not in answer.content
    assert b"Traceback" not in answer.content
