"""Certificates with their keys, as they come sealed to this host."""

from __future__ import annotations

import os
import ssl

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
        return f"The host's TLS library refuses the certificate: {getattr(error, 'reason', error)}."
    finally:
        os.close(descriptor)
    return ""
