"""A PostgreSQL of the tests' own, for one command.

`python -m tests.postgres pytest -m db` starts Debian's server in a folder of its own, on a unix
socket alone and without fsync, runs the command with KVMWEB_DATABASE_URL set, and leaves nothing.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

# It refuses to run as root.
USER = "postgres"
START_SECONDS = 60
OPTIONS = (
    "-c listen_addresses='' -c fsync=off -c synchronous_commit=off -c full_page_writes=off "
    "-c max_connections=100"
)


def binaries() -> Path:
    """Where the newest server that Debian installed is."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=_version)
    if not found:
        raise SystemExit("PostgreSQL is missing: apt-get install postgresql")
    return found[-1].parent


def _version(path: Path) -> int:
    return int(path.parent.parent.name)


@contextmanager
def server() -> Iterator[str]:
    """The URL of a fresh, empty server that lives as long as the block."""
    home = Path(tempfile.mkdtemp(prefix="kvmweb-pg", dir="/tmp"))
    sockets = _lower_case(home)
    data = sockets / "data"
    run = _as_postgres(sockets)
    try:
        run(["initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync"])
        options = f"{OPTIONS} -k {sockets}"
        log = sockets / "log"
        start: list[str | Path] = [
            "start",
            "-w",
            "-t",
            str(START_SECONDS),
            "-l",
            log,
            "-o",
            options,
        ]
        run(["pg_ctl", "-D", data, *start])
        try:
            yield f"postgres://{USER}@{quote(str(sockets), safe='')}/postgres"
        finally:
            run(["pg_ctl", "-D", data, "stop", "-w", "-m", "immediate"])
    finally:
        shutil.rmtree(sockets, ignore_errors=True)


def _lower_case(home: Path) -> Path:
    """The host part of a URL is read in lower case, and a temporary folder's name is not."""
    return home.rename(home.with_name(home.name.lower()))


def _as_postgres(home: Path) -> Callable[[list[str | Path]], None]:
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        account = pwd.getpwnam(USER)
        os.chown(home, account.pw_uid, account.pw_gid)
        identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

    def run(words: list[str | Path]) -> None:
        command = [str(binaries() / words[0]), *map(str, words[1:])]
        done = subprocess.run(
            command, cwd=home, capture_output=True, text=True, check=False, **identity
        )
        if done.returncode:
            raise SystemExit(f"{words[0]} failed: {done.stdout}{done.stderr}")

    return run


def main(command: list[str]) -> int:
    with server() as url:
        environment = {**os.environ, "KVMWEB_DATABASE_URL": url}
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
