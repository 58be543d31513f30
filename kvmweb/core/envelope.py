"""Signed messages between the control plane and a host: HMAC-SHA256 (RFC 2104) of the text sent.

The body travels as text, so that the signature covers bytes and not anybody's idea of equal JSON.
Both directions use the host's own key. Whoever holds it can speak as that host, and as the control
plane to that host, and nothing more.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, TypedDict

import msgspec

from kvmweb.core.errors import KvmwebError


class Envelope(TypedDict):
    """`mac` is the lower-case hexadecimal HMAC of `body` in UTF-8."""

    host: str
    body: str
    mac: str


class Forged(KvmwebError):
    """Not an envelope, or not one made with this key. The message never quotes the content."""

    code = "forged"
    status = 403


def seal(host: str, key: str, payload: object) -> Envelope:
    """An envelope of `payload` (JSON data, dataclasses) in the name of `host`."""
    body = msgspec.json.encode(payload, order="deterministic")
    return {"host": host, "body": body.decode(), "mac": _mac(key, body)}


def open_(key: str, envelope: object) -> dict[str, Any]:
    """The payload of an envelope made with `key`; raises `Forged` for anything else."""
    body, mac = _parts(envelope)
    if not hmac.compare_digest(_mac(key, body).encode(), mac):
        raise Forged("the signature does not match")
    payload = msgspec.json.decode(body)
    if not isinstance(payload, dict):
        raise Forged("the body is not an object")
    return payload


def sender(envelope: object) -> str:
    """The host an envelope claims to come from, to look up its key; `Forged` if it names none."""
    host = envelope.get("host") if isinstance(envelope, dict) else None
    if not isinstance(host, str) or not host:
        raise Forged("the envelope names no host")
    return host


def _parts(envelope: object) -> tuple[bytes, bytes]:
    if not isinstance(envelope, dict):
        raise Forged("not an envelope")
    body, mac = envelope.get("body"), envelope.get("mac")
    if not isinstance(body, str) or not isinstance(mac, str):
        raise Forged("not an envelope")
    try:
        return body.encode(), mac.encode()
    except UnicodeEncodeError as error:
        raise Forged("the envelope is not Unicode text") from error


def _mac(key: str, body: bytes) -> str:
    if not key:
        raise ValueError("a host key must not be empty")
    return hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
