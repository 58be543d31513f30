"""`python -m networks.host.resolver ZONES RESOLV_CONF PID_FILE EDITION`: serve in the background.

The program that was started ends as soon as all is served that can be, or says why not. `EDITION`
tells one version of this program from another in the list of processes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from networks.host.resolver import news
from networks.host.resolver.confine import confine
from networks.host.resolver.server import Server


def main(folder: str, resolv: str, pid_file: str) -> None:
    """Everything that needs rights first, then the first look at the zones, then the background."""
    zones = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    changes = news.watched_folder(folder)
    pid = os.open(pid_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    confine(Path(resolv))
    server = Server(zones, changes, Path(resolv))
    server.load()
    if child := os.fork():
        os.write(pid, f"{child}\n".encode())
        os._exit(0)
    os.setsid()
    os.close(pid)
    _let_go_of_terminal()
    server.run()


def _let_go_of_terminal() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)


main(*sys.argv[1:4])
