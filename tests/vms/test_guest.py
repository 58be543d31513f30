"""What goes into a guest: whatever is pasted is read or refused."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmweb.core.errors import Invalid
from tests.refusals import result_of
from vms.guest import LARGEST_USER_DATA, LONGEST_KEY, MOST_KEYS, parse_ssh_keys, parse_user_data

pytestmark = pytest.mark.pure


def key(kind: str = "ssh-ed25519", comment: str = "alice@laptop", inside: str = "") -> str:
    name = (inside or kind).encode()
    blob = len(name).to_bytes(4, "big") + name + bytes(36)
    return f"{kind} {base64.b64encode(blob).decode()} {comment}".strip()


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ssh-rsa", "sk-ssh-ed25519@openssh.com"])
@pytest.mark.parametrize("comment", ["", "alice@laptop", "my key with words"])
def test_public_keys_are_taken_as_they_are(kind: str, comment: str) -> None:
    assert parse_ssh_keys([key(kind, comment)]) == [key(kind, comment)]


def test_a_pasted_file_of_keys_is_taken_line_by_line() -> None:
    pasted = f"{key()}\r\n\n  {key('ssh-rsa')}  \n"
    assert parse_ssh_keys([pasted, ""]) == [key(), key("ssh-rsa")]


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        "ssh-ed25519 %%%%",
        "ssh-dss " + key().split()[1],
        key("ssh-rsa", inside="ssh-ed25519"),
        'command="rm -rf /" ' + key(),
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        key(comment="a\x07b"),
        key(comment="a\x00b"),
    ],
)
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_ssh_keys([text])
    assert (caught.value.field, caught.value.code) == ("ssh_keys", "invalid_ssh_key")


def test_a_key_longer_than_any_is_refused() -> None:
    with pytest.raises(Invalid) as caught:
        parse_ssh_keys([key(comment="x" * LONGEST_KEY)])
    assert caught.value.field == "ssh_keys"


def test_too_many_keys_are_refused() -> None:
    assert len(parse_ssh_keys([key()] * MOST_KEYS)) == MOST_KEYS
    with pytest.raises(Invalid):
        parse_ssh_keys([key()] * (MOST_KEYS + 1))


@given(st.lists(st.text(max_size=80), max_size=5))
def test_any_text_is_keys_or_refused(texts: list[str]) -> None:
    keys = result_of(Invalid, lambda: parse_ssh_keys(texts))
    if isinstance(keys, Invalid):
        assert keys.field == "ssh_keys"
    else:
        assert all("\n" not in line and line.isprintable() for line in keys)


@given(st.text(max_size=200))
def test_any_text_is_user_data_or_refused(text: str) -> None:
    data = result_of(Invalid, lambda: parse_user_data(text))
    if isinstance(data, Invalid):
        assert data.field == "user_data"
    else:
        assert data == "" or data.startswith(("#!", "#cloud-config"))


def test_windows_line_ends_do_not_reach_the_guest() -> None:
    assert parse_user_data("#!/bin/sh\r\necho hi\r\n") == "#!/bin/sh\necho hi\n"


def test_user_data_has_a_largest_size() -> None:
    assert parse_user_data("#!" + "é" * (LARGEST_USER_DATA // 2 - 1))
    with pytest.raises(Invalid):
        parse_user_data("#!" + "é" * (LARGEST_USER_DATA // 2))
