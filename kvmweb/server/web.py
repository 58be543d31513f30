"""The web process: `python -m kvmweb.server.web ADDRESS PORT`. A proxy may stand before it.

It also listens on a unix socket of its own, to which the host on the same machine brings consoles:
a console ends in the very process that a browser is connected to, whatever stands before it.

What is loaded before the first request stays for good, so the garbage collector need not look at it
again; that keeps its pages shared and its rounds short.
"""

from __future__ import annotations

import gc
import logging
import os
import socket
import sys
from pathlib import Path

import uvicorn
from django.conf import settings

from kvmweb.asgi import application  # first: it sets Django up
from kvmweb.settings import env

log = logging.getLogger(__name__)

LONGEST_PATH = 107
BACKLOG = 128


def main(address: str, port: int) -> None:
    """Serve until told to end; open requests get three seconds."""
    gc.collect()
    gc.freeze()
    config = uvicorn.Config(
        application,
        host=address,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        forwarded_allow_ips=trusted_proxies(address),
        timeout_graceful_shutdown=3,
    )
    own = own_socket(settings.STATE_DIR / "web")
    sockets = [config.bind_socket()]
    if own is not None:
        settings.KVMWEB_DIAL_SOCKET = own.getsockname()
        sockets.append(own)
    uvicorn.Server(config).run(sockets=sockets)


def own_socket(folder: Path) -> socket.socket | None:
    """A socket that only this process listens on, for root and the panel's user alone; none where
    the folder's path is too long for one (unix(7)). What dead processes left is removed."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in folder.glob("*.sock"):
        if not Path(f"/proc/{left.stem}").exists():
            left.unlink(missing_ok=True)
    path = folder / f"{os.getpid()}.sock"
    if len(os.fsencode(path)) > LONGEST_PATH:
        log.warning("no_own_socket path=%s: consoles come by KVMWEB_URL", path)
        return None
    path.unlink(missing_ok=True)
    found = socket.socket(socket.AF_UNIX)
    found.bind(str(path))
    path.chmod(0o600)
    found.listen(BACKLOG)
    return found


def trusted_proxies(address: str) -> list[str]:
    """Who may tell of a request's client and scheme by X-Forwarded-For and -Proto: what runs on the
    panel's own machine, and what KVMWEB_PROXIES names."""
    own = [] if address in ("0.0.0.0", "::") else [address]  # noqa: S104  compared with
    return ["127.0.0.1", "::1", *own, *env.words("PROXIES")]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
