"""The web process: `python -m kvmweb.server.web ADDRESS PORT`. A proxy may stand before it.

What is loaded before the first request stays for good, so the garbage collector need not look at it
again; that keeps its pages shared and its rounds short.
"""

from __future__ import annotations

import gc
import sys

import uvicorn

from kvmweb.asgi import application
from kvmweb.settings import env


def main(address: str, port: int) -> None:
    """Serve until told to end; open requests get three seconds."""
    gc.collect()
    gc.freeze()
    uvicorn.run(
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


def trusted_proxies(address: str) -> list[str]:
    """Who may tell of a request's client and scheme by X-Forwarded-For and -Proto: what runs on the
    panel's own machine, and what KVMWEB_PROXIES names."""
    own = [] if address in ("0.0.0.0", "::") else [address]  # noqa: S104  compared with
    return ["127.0.0.1", "::1", *own, *env.words("PROXIES")]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
