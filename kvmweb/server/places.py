"""Where one installation keeps its things, all below one folder."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from kvmweb.host.files import write_durably

DEFAULT_STATE = Path("/var/lib/kvmweb")
CHECKOUT = Path(__file__).resolve().parent.parent.parent
BUILT_IMAGE = CHECKOUT / ".cache" / "image" / "hello.qcow2"
# sun_path of sockaddr_un has 108 bytes, the closing zero included (unix(7)).
_LONGEST_SOCKET = 107


@dataclass(frozen=True, slots=True)
class Places:
    """Paths of one installation. `state` survives a reboot, `run` does not."""

    state: Path

    @property
    def run(self) -> Path:
        if self.state == DEFAULT_STATE:
            return Path("/run/kvmweb")
        return Path(f"/run/kvmweb-{hashlib.sha256(bytes(self.state)).hexdigest()[:8]}")

    @property
    def mark(self) -> Path:
        """Its presence says that the folder is ours, so that a reset never empties another."""
        return self.state / ".kvmweb"

    @property
    def lock(self) -> Path:
        return self.state / "lock"

    @property
    def children(self) -> Path:
        """The processes of the last start, so that the next one can wait for their end."""
        return self.state / "processes.json"

    @property
    def environment(self) -> Path:
        """What the panel's processes have in their environment, as KEY=VALUE lines."""
        return self.state / "environment"

    @property
    def secret_key(self) -> Path:
        return self.state / "secret-key"

    @property
    def initial_password(self) -> Path:
        return self.state / "initial-password"

    @property
    def redis(self) -> Path:
        return self.state / "redis"

    @property
    def redis_socket(self) -> Path:
        return self.redis / "redis.sock"

    @property
    def host_config(self) -> Path:
        return self.state / "host.toml"

    @property
    def images(self) -> Path:
        return self.state / "images"

    @property
    def log(self) -> Path:
        return self.state / "log" / "kvmweb.log"


def make(places: Places) -> None:
    """Make the folders, readable by root alone, and mark them as ours.

    Raises ValueError, with a sentence for people, where the folder cannot serve.
    """
    if len(os.fsencode(places.redis_socket)) > _LONGEST_SOCKET:
        raise ValueError(f"{places.state} is too long a path for a socket; choose a shorter one.")
    if places.state.exists() and not places.mark.exists() and any(places.state.iterdir()):
        raise ValueError(
            f"{places.state} holds other things. Choose an empty folder with --state, "
            "or move them away."
        )
    closed = [folder for folder in places.state.parents if _is_closed(folder)]
    if closed:
        raise ValueError(
            f"QEMU runs as a user of its own and cannot get through {closed[-1]} to its disks. "
            f"Choose another folder with --state, or: chmod o+x {closed[-1]}"
        )
    places.state.mkdir(parents=True, exist_ok=True)
    # Guests' disks lie deeper; QEMU may run as a user of its own and must get through.
    places.state.chmod(0o711)
    places.mark.touch()
    for folder in (places.redis, places.log.parent):
        folder.mkdir(mode=0o700, exist_ok=True)


def _is_closed(folder: Path) -> bool:
    return folder.exists() and not folder.stat().st_mode & stat.S_IXOTH


def write_secret(path: Path, text: str) -> None:
    """Write `text` so that nobody but root can ever read it."""
    write_durably(path, f"{text}\n".encode())
    path.chmod(0o600)
