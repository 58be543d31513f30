"""The web process: `python -m kvmweb.server.web ADDRESS PORT`. A proxy may stand before it.

What is loaded before the first request stays for good, so the garbage collector need not look at it
again; that keeps its pages shared and its rounds short.
"""

from __future__ import annotations

import gc
import sys

import uvicorn

from kvmweb.asgi import application


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
        timeout_graceful_shutdown=3,
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
