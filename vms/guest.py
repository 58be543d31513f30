"""What goes into a guest at its first boot.

Keys, password, user-data; read and checked before anything is written.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from kvmweb.core.errors import Invalid

MOST_KEYS = 50
# An RSA key of 16,384 bits has less than 3,000 characters.
LONGEST_KEY = 8192
# Of cloud-init's NoCloud data; larger would not fit other clouds either (EC2 allows 16 KiB).
LARGEST_USER_DATA = 64 * 1024
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
    if len(text.encode()) > LARGEST_USER_DATA:
        raise Invalid(f"At most {LARGEST_USER_DATA // 1024} KiB.", field="user_data")
    if not text.startswith(("#!", "#cloud-config")):
        raise Invalid(
            "User-data begins with #! (a script) or #cloud-config.",
            field="user_data",
            remedy="Put #!/bin/sh or #cloud-config on the first line.",
        )
    return text.replace("\r\n", "\n")
