"""Certificates with their keys, as they come sealed to this host."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from kvmweb.core.errors import HostError
from kvmweb.core.secret import Unreadable, reveal
from networks.host.proxy import SEALED_FOR


def opened(key: str, sealed: str) -> bytes:
    """The PEM text; raises `HostError` when it was not sealed for this host."""
    try:
        return reveal(key, SEALED_FOR, sealed)
    except Unreadable as error:
        raise HostError(
            "A certificate cannot be read with this host's key.",
            code="certificate_unusable",
            remedy="Give the certificate and its key once more.",
        ) from error


@dataclass(frozen=True, slots=True)
class Seen:
    """What a certificate says of itself; a field of it that is none is empty."""

    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime


def seen(key: str, sealed: str) -> Seen:
    """The first of the certificates, which is the name's own; it has no `problem`."""
    own = x509.load_pem_x509_certificates(opened(key, sealed))[0]
    try:
        found = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = tuple(name.lower() for name in found.get_values_for_type(x509.DNSName))
    except (x509.ExtensionNotFound, ValueError):
        names = ()
    return Seen(names, own.not_valid_before_utc, own.not_valid_after_utc)


def problem(key: str, sealed: str) -> str:
    """Why this host's TLS library would not take it; empty when it would. One that it does not take
    would keep the proxy from starting."""
    try:
        text = opened(key, sealed)
    except HostError as error:
        return f"{error.message} {error.remedy}"
    descriptor = os.memfd_create("certificate")
    try:
        os.write(descriptor, text)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password="")
    except (OSError, ValueError) as error:
        if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
            return "The private key is that of another certificate."
        return f"The host's TLS library refuses the certificate: {getattr(error, 'reason', error)}."
    finally:
        os.close(descriptor)
    return ""
