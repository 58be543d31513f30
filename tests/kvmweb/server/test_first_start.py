"""What the first start makes, and that the second makes nothing more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from django.contrib.auth.models import User
from django.test import override_settings

from kvmweb.host.config import load
from kvmweb.hosts.models import Host
from kvmweb.projects.actions import user_of_token
from kvmweb.projects.models import ApiToken
from kvmweb.server import first_start
from kvmweb.server.places import Places, make

pytestmark = [pytest.mark.db, pytest.mark.django_db]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users can get through, unlike pytest's own."""
    with TemporaryDirectory(dir="/var/tmp", prefix="kwserver-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def places(folder: Path) -> Iterator[Places]:
    places = Places(folder / "state")
    make(places)
    with override_settings(CELERY_BROKER_URL=f"redis+socket://{places.redis_socket}"):
        yield places


def test_the_first_operator_gets_a_password_that_is_said_once(places: Places) -> None:
    first = first_start.operator(places)
    again = first_start.operator(places)
    user = User.objects.get()
    assert user.is_superuser
    assert user.check_password(first["password"])
    assert again == {"operator": "admin", "password": ""}
    assert places.initial_password.read_text().strip() == first["password"]
    assert places.initial_password.stat().st_mode & 0o777 == 0o600


def test_a_password_that_was_changed_is_not_kept_any_more(places: Places) -> None:
    first_start.operator(places)
    user = User.objects.get()
    user.set_password("another-one-now")
    user.save()
    first_start.operator(places)
    assert not places.initial_password.exists()


def test_an_operator_who_is_there_already_keeps_name_and_password(places: Places) -> None:
    User.objects.create_superuser("olga", password="olgas-password")
    assert first_start.operator(places) == {"operator": "olga", "password": ""}
    assert User.objects.count() == 1


def test_the_machine_becomes_one_host_however_often_it_starts(places: Places) -> None:
    first = first_start.host(places)
    key = load(places.host_config).key
    again = first_start.host(places)
    assert first == again
    assert Host.objects.get().name == first["host"]
    assert load(places.host_config).key == key
    assert load(places.host_config).paths.state == places.state / "host"


def test_a_machine_that_was_renamed_stays_the_same_host(places: Places) -> None:
    first_start.host(places)
    Host.objects.update(name="before-the-renaming")
    text = places.host_config.read_text()
    name = json.dumps(load(places.host_config).name)
    places.host_config.write_text(text.replace(name, '"before-the-renaming"', 1))
    assert first_start.host(places)["host"] == "before-the-renaming"
    assert Host.objects.count() == 1


def test_an_address_that_the_machine_lost_is_told_with_the_way_out(places: Places) -> None:
    first_start.host(places)
    Host.objects.get().public_addresses.update(address="198.51.100.77")
    warning = first_start.host(places)["warning"]
    assert "198.51.100.77" in warning
    assert "Public addresses" in warning
    assert Host.objects.get().public_addresses.count() == 1


def test_each_start_has_one_token_that_ends_by_itself(places: Places) -> None:
    first_start.operator(places)
    first_start.token("admin")
    secret = first_start.token("admin")
    row = ApiToken.objects.get()
    assert row.expires_at is not None
    holder = user_of_token(secret)
    assert holder is not None
    assert holder[0].username == "admin"


def test_a_folder_with_other_things_in_it_is_refused(folder: Path) -> None:
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="holds other things"):
        make(Places(folder))


def test_a_folder_that_qemu_could_not_reach_is_refused(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ValueError, match=f"chmod o\\+x {closed}"):
        make(Places(closed / "state"))


def test_a_path_too_long_for_a_socket_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too long a path"):
        make(Places(tmp_path / ("x" * 100)))
    assert list(tmp_path.iterdir()) == []
