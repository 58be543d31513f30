"""The desk of a host as a process of its own, as in the monitor: told on its input what to open.

`python -m tests.vms.host.desk_process LIBVIRT_URI FOLDER KEY`; each line is what the panel asks
for, each answer the code of the refusal or `open`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from kvmweb.core.errors import KvmwebError
from kvmweb.host.config import HostConfig, HostPaths
from vms.host.console.desk import Desk
from vms.host.events import follow
from vms.host.observe import Seen


async def main(uri: str, folder: Path, key: str) -> None:
    paths = HostPaths.under(folder / "state", folder / "run")
    config = HostConfig(name="h1", broker="redis://x", key=key, libvirt_uri=uri, paths=paths)
    desk = Desk(config)

    async def seen(one: Seen) -> None:
        if one.state in {"off", "crashed", "saved"}:
            await desk.guest_ended(one.subject)

    connected = asyncio.Event()

    async def on_connected() -> None:
        connected.set()

    following = asyncio.create_task(follow(uri, seen, on_connected=on_connected))
    await connected.wait()
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        try:
            await asyncio.to_thread(desk.answer, json.loads(line))
        except KvmwebError as error:
            print(error.code, flush=True)
        else:
            print("open", flush=True)
    following.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
