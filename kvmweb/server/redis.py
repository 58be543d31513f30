"""The private redis-server: one unix socket, no port, its content on disk."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from kvmweb.server.places import Places

_CONFIGURATION = """\
port 0
unixsocket "{folder}/redis.sock"
unixsocketperm 600
dir "{folder}"
daemonize no
logfile ""
loglevel notice
save ""
appendonly yes
appendfsync everysec
maxmemory 128mb
maxmemory-policy noeviction
databases 1
always-show-logo no
"""


def configure(places: Places) -> Path:
    """Write the configuration and return its path."""
    file = places.redis / "redis.conf"
    file.write_text(_CONFIGURATION.format(folder=places.redis))
    file.chmod(0o600)
    return file


def answers(path: Path) -> bool:
    """Whether a redis-server at this socket has loaded its data and serves."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(2)
        client.connect(str(path))
        client.sendall(b"PING\r\n")
        return client.recv(64).startswith(b"+PONG")
    return False
