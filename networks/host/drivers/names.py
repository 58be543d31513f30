"""The name server of all networks: a process of ours that watches a folder of zones.

A zone is written elsewhere and moved in; that alone is the news, so nothing is to be told and
nothing is lost by a crash. See `networks.host.resolver`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from kvmweb.core.errors import HostBusy, HostError
from networks.host.drivers.daemon import Daemon

_MODULE = "networks.host.resolver"
_ROOT = Path(__file__).resolve().parents[3]
_SECONDS = 15


class NameServer:
    """`folder` holds all of its files. `resolv` says which servers the host itself asks."""

    def __init__(self, folder: Path, resolv: Path) -> None:
        self._folder = folder
        self._zones = folder / "zones"
        self._pid_file = folder / "pid"
        self._resolv = resolv
        self._daemon = Daemon(self._pid_file, str(self._pid_file))

    def zone(self, bridge: str) -> str | None:
        """The zone of a network as it is served."""
        try:
            return (self._zones / bridge).read_text()
        except FileNotFoundError:
            return None

    def pid(self) -> int | None:
        """Its process if it runs, of whatever version."""
        return self._daemon.pid()

    def is_running(self) -> bool:
        """Whether it runs, and is of this version."""
        return self._daemon.runs(self._arguments())

    def write(self, bridge: str, text: str) -> None:
        """Serve this zone on a bridge from now on."""
        self._make_folders()
        descriptor, temporary = tempfile.mkstemp(dir=self._folder)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
        path = Path(temporary)
        path.chmod(0o644)
        path.replace(self._zones / bridge)

    def remove(self, bridge: str) -> None:
        """Serve a bridge no longer."""
        (self._zones / bridge).unlink(missing_ok=True)

    def start(self) -> None:
        """Start it in the background, in place of one of another version."""
        self._make_folders()
        self._daemon.stop()
        try:
            done = subprocess.run(
                self._arguments(),
                env={"PYTHONPATH": str(_ROOT)},
                cwd="/",
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise HostBusy("The name server did not start in time.") from error
        if done.returncode != 0:
            raise HostError(
                f"The name server did not start: {done.stderr.strip()[-300:]}", code="names_failed"
            )

    def delete(self) -> None:
        """End it and remove all of its files."""
        self._daemon.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _make_folders(self) -> None:
        self._zones.mkdir(parents=True, exist_ok=True)
        for path in (self._folder, self._zones):
            path.chmod(0o755)

    def _arguments(self) -> list[str]:
        """Without the site packages, which it does not use and would pay for in memory."""
        files = [str(self._zones), str(self._resolv), str(self._pid_file)]
        return [sys.executable, "-s", "-S", "-B", "-m", _MODULE, *files, _edition()]


@cache
def _edition() -> str:
    """The same for the same program."""
    digest = hashlib.sha256()
    for file in sorted((_ROOT / Path(*_MODULE.split("."))).glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
