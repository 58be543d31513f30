"""Typed reading of KVMWEB_* environment variables.

A wrong value ends the start with a plain sentence.
"""

from __future__ import annotations

import os
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured


def text(name: str, default: str | None = None) -> str:
    """KVMWEB_<name>, or the content of the file that KVMWEB_<name>_FILE names, or `default`."""
    variable = f"KVMWEB_{name}"
    if path := os.environ.get(f"{variable}_FILE"):
        try:
            return Path(path).read_text().strip()
        except OSError as error:
            raise ImproperlyConfigured(f"{variable}_FILE: cannot read {path}: {error}") from error
    value = os.environ.get(variable, default)
    if value is None:
        raise ImproperlyConfigured(f"Set {variable} or {variable}_FILE.")
    return value


def integer(name: str, default: int) -> int:
    value = text(name, str(default))
    try:
        return int(value)
    except ValueError as error:
        raise ImproperlyConfigured(f"KVMWEB_{name} must be a whole number: {value!r}") from error


def flag(name: str, *, default: bool = False) -> bool:
    value = text(name, "1" if default else "0").lower()
    if value not in {"0", "1", "true", "false", "yes", "no"}:
        raise ImproperlyConfigured(f"KVMWEB_{name} must be 0 or 1: {value!r}")
    return value in {"1", "true", "yes"}


def words(name: str, default: str = "") -> list[str]:
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def networks(name: str) -> list[str]:
    """Networks in CIDR notation, separated by commas."""
    found = words(name)
    for word in found:
        try:
            ip_network(word)
        except ValueError as error:
            raise ImproperlyConfigured(f"KVMWEB_{name}: {error}") from error
    return found


def database(url: str, sqlite_path: Path) -> dict[str, object]:
    """Django's database entry.

    SQLite in WAL mode at `sqlite_path`, or PostgreSQL from `postgres://…`.

    IMMEDIATE transactions make SQLite's writers queue instead of failing half-way.
    """
    if not url:
        return {
            "ENGINE": "kvmweb.core.sqlite3",
            "NAME": sqlite_path,
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "cached_statements": 512,
                "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;",
            },
        }
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured("KVMWEB_DATABASE_URL must begin with postgres://")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": parts.port or "",
        "OPTIONS": {"pool": True},
    }
