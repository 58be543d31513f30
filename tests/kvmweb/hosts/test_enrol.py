"""Making a machine known as a host."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from kvmweb.core.errors import Conflict, Invalid
from kvmweb.host.config import load
from kvmweb.hosts.enrol import HostFolders, enrol, write_configuration
from kvmweb.hosts.models import Host, PublicAddress

pytestmark = [pytest.mark.db, pytest.mark.django_db]

BROKER = "redis+socket:///run/redis.sock"


def test_enrolling_twice_is_enrolling_once() -> None:
    first = enrol("h1", address="198.51.100.11")
    again = enrol("h1", address="198.51.100.11")
    assert again == first
    assert again.key == first.key
    assert [row.is_default for row in first.public_addresses.all()] == [True]


def test_a_second_address_is_added_and_is_not_the_default() -> None:
    host = enrol("h1", address="198.51.100.11")
    enrol("h1", address="198.51.100.12")
    assert [str(row) for row in host.public_addresses.all()] == ["198.51.100.11", "198.51.100.12"]
    assert PublicAddress.objects.get(is_default=True).address == "198.51.100.11"


def test_an_address_of_another_host_is_a_conflict_and_adds_no_host() -> None:
    enrol("h1", address="198.51.100.11")
    with pytest.raises(Conflict, match="belongs to host h1"):
        enrol("h2", address="198.51.100.11")
    assert Host.objects.count() == 1


@pytest.mark.parametrize(
    ("name", "address", "field"),
    [
        ("Not A Name", "198.51.100.11", "name"),
        ("x" * 33, "198.51.100.11", "name"),
        ("h1", "198.51.100.256", "address"),
        ("h1", "2001:db8::1", "address"),
        ("h1", "", "address"),
    ],
)
def test_what_cannot_be_a_host_is_refused_by_field(name: str, address: str, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        enrol(name, address=address)
    assert refused.value.field == field
    assert not Host.objects.exists()


def test_the_host_program_can_read_what_was_written(tmp_path: Path) -> None:
    host = enrol("h1", address="198.51.100.11")
    file = tmp_path / 'odd "folder"' / "host.toml"
    folders = HostFolders(file.parent / "state", file.parent / "run", "qemu:///system")
    write_configuration(host, file, broker=BROKER, folders=folders)
    config = load(file)
    assert (config.name, config.key, config.broker) == ("h1", host.key, BROKER)
    assert (config.paths.state, config.paths.run) == (folders.state, folders.run)
    assert {path.stat().st_mode & 0o777 for path in file.parent.iterdir()} == {0o600}


def test_what_an_operator_changed_stays_but_secrets_are_renewed(tmp_path: Path) -> None:
    host = enrol("h1", address="198.51.100.11")
    file = tmp_path / "host.toml"
    folders = HostFolders(tmp_path / "state", tmp_path / "run")
    write_configuration(host, file, broker=BROKER, folders=folders)
    file.write_text(file.read_text() + "vm_slots = 4\n")
    (tmp_path / "host.key").unlink()
    write_configuration(host, file, broker=BROKER, folders=folders)
    assert load(file).vm_slots == 4
    assert load(file).key == host.key


def test_the_command_writes_the_file_and_says_where(tmp_path: Path) -> None:
    said = io.StringIO()
    file = tmp_path / "host.toml"
    words = ["--address", "198.51.100.11", "--output", str(file), "--broker", BROKER]
    call_command("host", "enrol", "h1", *words, stdout=said)
    assert str(file) in said.getvalue()
    assert load(file).name == "h1"


def test_the_command_refuses_in_a_plain_sentence(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="not an IPv4 address"):
        call_command("host", "enrol", "h1", "--address", "x", "--output", str(tmp_path / "h"))
