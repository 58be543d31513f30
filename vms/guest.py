"""What goes into a guest at its first boot.

Keys, password, user-data; read and checked before anything is written.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Sequence

from passlib.hash import sha512_crypt

from kvmweb.core.errors import Invalid
from vms.cloud_config import refuse_bad

MOST_KEYS = 50
# An RSA key of 16,384 bits has less than 3,000 characters.
LONGEST_KEY = 8192
# Of cloud-init's NoCloud data; larger would not fit other clouds either (EC2 allows 16 KiB).
LARGEST_USER_DATA = 64 * 1024
CLOUD_CONFIG = "#cloud-config"
LEAST_PASSWORD, LONGEST_PASSWORD = 8, 128
# crypt(5): some 80 ms here; a guest checks it at each login by password.
_ROUNDS = 100_000
_UNAMBIGUOUS = "abcdefghjkmnpqrstuvwxyz23456789"
_LOGIN = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
# Where a script would be of no use: cloud-init makes no such user, or takes it for its own words.
_NO_LOGIN = frozenset({"root", "default", "nobody"})
_KEY_TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)


def parse_ssh_keys(keys: Sequence[str]) -> list[str]:
    """Public keys in OpenSSH's one-line form (sshd(8), AUTHORIZED_KEYS), without options.

    Raises Invalid.
    """
    lines = [line.strip() for key in keys for line in key.splitlines() if line.strip()]
    if len(lines) > MOST_KEYS:
        raise Invalid(f"At most {MOST_KEYS} keys.", field="ssh_keys")
    for line in lines:
        _refuse_bad_key(line)
    return lines


def _refuse_bad_key(line: str) -> None:
    parts = line.split(None, 2)
    if len(line) > LONGEST_KEY:
        raise Invalid(f"A key has at most {LONGEST_KEY} characters.", field="ssh_keys")
    try:
        kind, blob = parts[0], base64.b64decode(parts[1], validate=True)
        length = int.from_bytes(blob[:4], "big")
        genuine = (
            kind in _KEY_TYPES and blob[4 : 4 + length] == kind.encode() and line.isprintable()
        )
    except (IndexError, binascii.Error, ValueError):
        genuine = False
    if not genuine:
        raise Invalid(
            f"“{line[:40]}” is not an SSH public key.",
            field="ssh_keys",
            code="invalid_ssh_key",
            remedy="Paste a line from a .pub file, such as ssh-ed25519 AAAA… you@laptop.",
        )


def parse_user_data(text: str) -> str:
    """User-data as cloud-init takes it: a script or a #cloud-config. Raises Invalid."""
    if not text.strip():
        return ""
    if not is_unicode(text) or "\0" in text:
        raise Invalid("User-data is text without NUL characters.", field="user_data")
    if len(text.encode()) > LARGEST_USER_DATA:
        raise Invalid(f"At most {LARGEST_USER_DATA // 1024} KiB.", field="user_data")
    if not text.startswith(("#!", CLOUD_CONFIG)):
        raise Invalid(
            "User-data begins with #! (a script) or #cloud-config.",
            field="user_data",
            remedy="Put #!/bin/sh or #cloud-config on the first line.",
        )
    lines = text.replace("\r\n", "\n")
    if lines.startswith(CLOUD_CONFIG):
        refuse_bad(lines)
    return lines


def is_unicode(text: str) -> bool:
    """Whether it can be written down: JSON may carry halves of characters."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def fingerprint(key: str) -> str:
    """A public key's, as ssh-keygen(1) tells it."""
    digest = hashlib.sha256(base64.b64decode(key.split(None, 2)[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def parse_login(text: str) -> str:
    """A name for the guest's first user (useradd(8)); empty leaves the image's. Raises Invalid."""
    name = text.strip()
    if name and (not _LOGIN.fullmatch(name) or name in _NO_LOGIN):
        raise Invalid(
            "A user has 1 to 32 of a-z, 0-9, - and _, begins with a letter, and is not root.",
            field="login_user",
            code="invalid_login",
        )
    return name


def new_password() -> str:
    """A random one of 20 characters (99 bits) that are not taken for each other, in groups."""
    groups = ("".join(secrets.choice(_UNAMBIGUOUS) for _ in range(5)) for _ in range(4))
    return "-".join(groups)


def password_hash(password: str) -> str:
    """SHA-512 crypt(5), which guests of all ages understand; empty stays so. Raises Invalid."""
    if not password:
        return ""
    if not LEAST_PASSWORD <= len(password) <= LONGEST_PASSWORD or not password.isprintable():
        raise Invalid(
            f"A password has {LEAST_PASSWORD} to {LONGEST_PASSWORD} printable characters.",
            field="password",
            code="invalid_password",
        )
    return str(sha512_crypt.using(rounds=_ROUNDS).hash(password))
