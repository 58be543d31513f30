"""Texts that only who holds a key can read: AES-256-GCM (NIST SP 800-38D) under a key derived from
it by HKDF-SHA256 (RFC 5869), one per purpose, so that a text sealed for one is no text of another.

What is sealed may lie in a database, a queue or a file that others read.
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE = 12


class Unreadable(ValueError):
    """Not sealed with this key for this purpose, or changed since."""


def conceal(key: str, purpose: str, text: bytes) -> str:
    """`text` as ASCII that says nothing but its length."""
    nonce = os.urandom(_NONCE)
    return urlsafe_b64encode(nonce + _cipher(key, purpose).encrypt(nonce, text, None)).decode()


def reveal(key: str, purpose: str, concealed: str) -> bytes:
    """What `conceal` was given; raises `Unreadable`."""
    try:
        data = urlsafe_b64decode(concealed.encode())
        return _cipher(key, purpose).decrypt(data[:_NONCE], data[_NONCE:], None)
    except (ValueError, InvalidTag) as error:
        raise Unreadable("This was not sealed with this key.") from error


def _cipher(key: str, purpose: str) -> AESGCM:
    if not key:
        raise Unreadable("There is no key.")
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode())
    return AESGCM(derived.derive(key.encode()))
