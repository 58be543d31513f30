"""Which certificate and key may be given for a host name, and how the key is kept.

A key is in the database as only this panel can read it (`SECRET_KEY`), and in a spec as only the
host it is for can.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from django.conf import settings

from kvmweb.core.errors import Invalid
from kvmweb.core.secret import Unreadable, conceal, reveal
from networks.host.proxy import SEALED_FOR, covers

LARGEST = 64 * 1024
_AT_REST = "key of a certificate"
_LEAST_RSA, _MOST_RSA = 2048, 8192
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_WEAK = (hashes.MD5, hashes.SHA1)

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A certificate that was looked at. `chain` and `key` are PEM; the key is never shown."""

    chain: str
    key: bytes
    fingerprint: str
    names: list[str]
    issuer: str
    not_before: datetime
    not_after: datetime

    def __repr__(self) -> str:
        return f"Given({self.fingerprint})"


def parse(certificate: str, private_key: str, name: str, now: datetime) -> Given:
    """What a person gave for a name; raises `Invalid` with the field at fault. No error quotes the
    key."""
    chain = _chain(certificate)
    own = chain[0]
    key = _key(private_key)
    if own.public_key() != key.public_key():
        raise Invalid(
            "This is the key of another certificate.",
            field="private_key",
            remedy="Give the key that the first certificate was requested with.",
        )
    _refuse_unfit(own, name, now)
    text = "".join(each.public_bytes(Encoding.PEM).decode() for each in chain)
    return Given(
        chain=text,
        key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        fingerprint=sha256(text.encode()).hexdigest(),
        names=_names(own),
        issuer=_issuer(own),
        not_before=own.not_valid_before_utc,
        not_after=own.not_valid_after_utc,
    )


def kept(key: bytes) -> str:
    """A key as it lies in the database."""
    return conceal(settings.SECRET_KEY, _AT_REST, key)


def for_host(chain: str, concealed_key: str, host_key: str) -> str:
    """Certificates and key as a host gets them; empty when the panel can no longer read the key,
    because its SECRET_KEY was changed."""
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        try:
            key = reveal(str(secret), _AT_REST, concealed_key)
        except Unreadable:
            continue
        return conceal(host_key, SEALED_FOR, chain.encode() + key)
    return ""


def _chain(text: str) -> list[x509.Certificate]:
    _refuse_long(text, "certificate")
    if "PRIVATE KEY-----" in text:
        raise Invalid(
            "There is a private key among the certificates.",
            field="certificate",
            remedy="Give the key in its own field.",
        )
    try:
        chain = x509.load_pem_x509_certificates(text.encode())
    except ValueError as error:
        raise Invalid(
            "These are no certificates in PEM form.",
            field="certificate",
            remedy="They begin with -----BEGIN CERTIFICATE-----; paste the file fullchain.pem.",
        ) from error
    for lower, upper in pairwise(chain):
        if lower.issuer != upper.subject:
            raise Invalid(
                "The certificates are not in order: each must be issued by the next.",
                field="certificate",
                remedy="Put the name's own certificate first, then the intermediate ones.",
            )
    return chain


def _key(text: str) -> Key:
    _refuse_long(text, "private_key")
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except TypeError as error:
        raise Invalid(
            "The key is protected by a password.",
            field="private_key",
            remedy="Take the password away: openssl pkey -in key.pem -out plain.pem.",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Invalid(
            "This is no private key in PEM form.",
            field="private_key",
            remedy="It begins with -----BEGIN PRIVATE KEY-----; paste the file named privkey.pem.",
        ) from error
    if isinstance(key, rsa.RSAPrivateKey) and _LEAST_RSA <= key.key_size <= _MOST_RSA:
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, _CURVES):
        return key
    raise Invalid(
        "Browsers do not take this kind of key.",
        field="private_key",
        remedy="Use RSA with 2048 to 8192 bits, or ECDSA on P-256, P-384 or P-521.",
    )


def _refuse_long(text: str, field: str) -> None:
    if not text.strip():
        raise Invalid("TLS can end here only with a certificate and its key.", field=field)
    if len(text) > LARGEST or not text.isascii():
        raise Invalid("This is no PEM file of at most 64 KiB.", field=field)


def _refuse_unfit(own: x509.Certificate, name: str, now: datetime) -> None:
    names = _names(own)
    if not covers(names, name):
        shown = ", ".join(names[:5]) or "no name"
        raise Invalid(f"The certificate is for {shown}, not for {name}.", field="certificate")
    if own.not_valid_after_utc <= now:
        raise Invalid(
            f"The certificate expired on {own.not_valid_after_utc:%Y-%m-%d}.",
            field="certificate",
            remedy="Have it renewed first.",
        )
    if own.not_valid_before_utc > now:
        raise Invalid(
            f"The certificate is not valid before {own.not_valid_before_utc:%Y-%m-%d %H:%M} UTC.",
            field="certificate",
        )
    if isinstance(own.signature_hash_algorithm, _WEAK):
        raise Invalid("The certificate is signed by a broken hash.", field="certificate")
    if not _is_for_servers(own):
        raise Invalid("The certificate is not for servers.", field="certificate")


def _names(own: x509.Certificate) -> list[str]:
    try:
        found = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return [name.lower() for name in found.get_values_for_type(x509.DNSName)]
    except (x509.ExtensionNotFound, ValueError):
        return []


def _is_for_servers(own: x509.Certificate) -> bool:
    try:
        uses = own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return True
    every = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
    return ExtendedKeyUsageOID.SERVER_AUTH in uses or every in uses


def _issuer(own: x509.Certificate) -> str:
    return own.issuer.rfc4514_string()[:255]
