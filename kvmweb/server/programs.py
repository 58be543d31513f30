"""The processes of one machine that is panel and host at once, and in which order they end.

First the host's, so that their last reports still reach the panel; then the panel's; Redis last.
Guests, networks, dnsmasq and libvirtd are nobody's children here and go on.
"""

from __future__ import annotations

import os
import secrets
import shlex
import sys
from collections.abc import Iterable, Mapping

from kvmweb.server.machine import addresses, host_name
from kvmweb.server.places import Places, write_secret
from kvmweb.server.supervisor import SETTINGS, Program

HOST, PANEL, BROKER = 2, 1, 0
_EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104  compared with, never bound to
# Threads allocate from few arenas; with glibc's eight per core these processes never give back.
_LEAN = {"PYTHONUNBUFFERED": "1", "MALLOC_ARENA_MAX": "2"}


def secret_key(places: Places) -> None:
    """Make the key that signs sessions, once."""
    if not places.secret_key.exists():
        write_secret(places.secret_key, secrets.token_urlsafe(48))


def environment(places: Places, *, listen: str, port: int) -> dict[str, str]:
    """What `kvmweb.settings` reads; kept in a file so that `script/manage` and units can too.

    What was set by hand, such as KVMWEB_DATABASE_URL, is part of it.
    """
    found = {name: value for name, value in os.environ.items() if name.startswith(SETTINGS)}
    address = local_address(listen)
    shown = f"[{address}]" if ":" in address else address
    found = {"KVMWEB_URL": f"http://{shown}:{port}"} | found
    found |= {
        "DJANGO_SETTINGS_MODULE": "kvmweb.settings.single",
        "KVMWEB_STATE": str(places.state),
        "KVMWEB_SECRET_KEY_FILE": str(places.secret_key),
        "KVMWEB_ALLOWED_HOSTS": ",".join(_names(listen)),
        "KVMWEB_PANEL_PORT": str(port),
        "KVMWEB_PANEL_ADDRESS": _reached_at(listen),
    }
    lines = [f"{name}={shlex.quote(value)}" for name, value in found.items()]
    write_secret(places.environment, "\n".join(lines))
    return found


def _names(listen: str) -> list[str]:
    """By which names a browser may ask for the panel."""
    names = ["127.0.0.1", "localhost", "[::1]"]
    if listen in _EVERYWHERE:
        names += [*addresses(), host_name()]
    else:
        names.append(f"[{listen}]" if ":" in listen else listen)
    return list(dict.fromkeys(names))


def _reached_at(listen: str) -> str:
    """Where the proxy of this machine reaches the panel: by IPv4."""
    address = local_address(listen)
    return "127.0.0.1" if ":" in address else address


def local_address(listen: str) -> str:
    """Where this machine itself reaches what listens at `listen`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen, listen)  # noqa: S104


def redis(places: Places) -> Program:
    command = ("redis-server", str(places.redis / "redis.conf"))
    return Program(name="redis", command=command, stage=BROKER)


def panel(settings: Mapping[str, str], *, listen: str, port: int) -> Iterable[Program]:
    web = ("kvmweb.server.web", listen, str(port))
    control, images = ("kvmweb.server.control",), ("kvmweb.server.images",)
    for name, words in (("web", web), ("control", control), ("images", images)):
        yield Program(
            name=name,
            command=(sys.executable, "-m", *words),
            environment={**_LEAN, **settings},
            stage=PANEL,
        )


def host(places: Places) -> Iterable[Program]:
    """The host's processes; nothing of the panel's settings reaches them."""
    for name in ("net", "vm", "monitor"):
        yield Program(
            name=name,
            command=host_command(places, name),
            environment=_LEAN,
            stage=HOST,
        )


def host_command(places: Places, command: str) -> tuple[str, ...]:
    """`python -m kvmweb.host COMMAND` with this installation's configuration."""
    return (sys.executable, "-m", "kvmweb.host", command, "--config", str(places.host_config))
