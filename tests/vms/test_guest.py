"""What goes into a guest: whatever is pasted is read or refused."""

from __future__ import annotations

import base64
import subprocess

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from kvmweb.core.errors import Invalid
from tests.refusals import result_of
from vms.guest import (
    LARGEST_USER_DATA,
    LONGEST_KEY,
    MOST_KEYS,
    fingerprint,
    new_password,
    parse_login,
    parse_ssh_keys,
    parse_user_data,
    password_hash,
)

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


BAD_CONFIGS = [
    ("a: b: c\n", "line 2, column 5"),
    ("runcmd:\n- [\n", "line 4"),
    ("\tx: 1\n", "line 2, column 1"),
    ("- a\n", "line 2, column 1"),
    ("x: *nobody\n", "nobody"),
    ("a: 1\n---\nb: 2\n", "line 3"),
    ("a: \x07\n", "line 2"),
    ("a: !!python/object/apply:os.system [ls]\n", "python"),
    ("x: " + "[" * 60 + "]" * 60, "nested"),
    ("x: " + "{a: " * 10_000, "nested"),
]


@pytest.mark.parametrize(("text", "where"), BAD_CONFIGS)
def test_what_is_wrong_in_a_config_is_told_with_its_line(text: str, where: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_user_data(f"#cloud-config\n{text}")
    assert (caught.value.field, caught.value.code) == ("user_data", "invalid_yaml")
    assert where in caught.value.message


def test_a_billion_laughs_cost_nothing() -> None:
    laughs = "a0: &a0 {x: 1}\n" + "".join(
        f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 40)
    )
    assert parse_user_data(f"#cloud-config\n{laughs}")


@given(st.text(max_size=200))
@example(">")
@example("''")
@example("~")
def test_any_config_is_taken_or_refused(text: str) -> None:
    config = f"#cloud-config\n{text}"
    data = result_of(Invalid, lambda: parse_user_data(config))
    if isinstance(data, Invalid):
        assert data.field == "user_data"
    else:
        node = yaml.compose(data, Loader=yaml.SafeLoader)
        assert node is None or node.tag.endswith((":map", ":null"))


@pytest.mark.parametrize("text", ["#!/bin/sh\0", "#!/bin/sh \ud800", "#cloud-config\na: \udfff"])
def test_what_cannot_be_written_down_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_user_data(text)


@given(st.text(max_size=40))
def test_any_text_is_a_login_or_refused(text: str) -> None:
    login = result_of(Invalid, lambda: parse_login(text))
    if isinstance(login, Invalid):
        assert login.field == "login_user"
    else:
        assert login == "" or (login.isascii() and login[0] not in "-0123456789")


@pytest.mark.parametrize("name", ["root", "Alice", "-x", "a b", "a:b", "x" * 33, "default", "é"])
def test_what_is_no_name_of_a_user_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        parse_login(name)


def test_passwords_are_hashed_as_openssl_does() -> None:
    kept = password_hash("correct horse")
    _, _, _, salt, _ = kept.split("$")
    made = subprocess.run(
        ["openssl", "passwd", "-6", "-salt", f"rounds=100000${salt}", "-stdin"],
        input="correct horse\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout.strip() == kept
    assert password_hash("") == ""
    assert password_hash("correct horse") != kept


@pytest.mark.parametrize("password", ["short", "x" * 129, "with\nnewline", "nul\0nulnul"])
def test_bad_passwords_are_refused(password: str) -> None:
    with pytest.raises(Invalid) as caught:
        password_hash(password)
    assert caught.value.field == "password"
    assert password not in caught.value.message


def test_made_passwords_are_long_and_differ() -> None:
    made = {new_password() for _ in range(50)}
    assert len(made) == 50
    assert all(len(password) == 23 for password in made)


def test_a_fingerprint_is_that_of_ssh_keygen() -> None:
    made = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGTbPS6aQN4+fUEhg1Ceu1tWDPDOXywJFa4G6M/jcvNY"
    assert (
        fingerprint(f"{made} alice@laptop") == "SHA256:z46zWUTODypOn8Gfx7IczWt+o/ur86zz4CMQz+OGurE"
    )
