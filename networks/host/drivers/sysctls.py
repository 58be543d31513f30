"""Settings of interfaces under /proc/sys/net, and a record of those we changed on the host's own.

/proc/sys/net shows the namespace of the calling thread. Only what another program owns (an uplink's
forwarding) is recorded: settings of our bridges vanish with them.
"""

from __future__ import annotations

import json
from pathlib import Path

from kvmweb.core.errors import HostError
from kvmweb.host.files import write_durably

_ROOT = Path("/proc/sys/net")
_FORWARDING = "ipv4/forwarding"


class Sysctls:
    """`record` maps interfaces whose forwarding we switched on to its former value."""

    def __init__(self, record: Path) -> None:
        self._record = record

    def read(self, interface: str, key: str) -> str | None:
        """The value, None where the interface or this part of the kernel is missing."""
        try:
            return _path(interface, key).read_text().strip()
        except OSError:
            return None

    def write(self, interface: str, key: str, value: str) -> None:
        """Set a value; a kernel without IPv6 has nothing to set there."""
        path = _path(interface, key)
        if not path.parents[2].exists():
            return
        try:
            path.write_text(value)
        except OSError as error:
            raise HostError(
                f"{key} of {interface} cannot be set: {error.strerror}",
                code="sysctl_refused",
                remedy="The network worker needs to run as root, outside of a container.",
            ) from error

    def exists(self, interface: str) -> bool:
        """Whether there is such an interface."""
        return self.read(interface, _FORWARDING) is not None

    def is_router(self) -> bool:
        """Whether the host forwards between all interfaces by its own settings."""
        return self.read("all", _FORWARDING) == "1"

    def forwards(self, interface: str) -> bool:
        """Whether packets that come in on the interface are forwarded."""
        return self.read(interface, _FORWARDING) == "1"

    def changed(self) -> frozenset[str]:
        """The interfaces that forward because of us."""
        return frozenset(self._recorded())

    def enable_forwarding(self, interface: str) -> None:
        """Switch forwarding on; the former value is on disk before it is lost."""
        recorded = self._recorded()
        if interface not in recorded:
            recorded[interface] = self.read(interface, _FORWARDING) or "0"
            write_durably(self._record, json.dumps(recorded).encode())
        self.write(interface, _FORWARDING, "1")

    def put_back(self) -> None:
        """Restore what was recorded, unless the host has become a router by its own settings."""
        for interface, value in self._recorded().items():
            if not self.is_router() and self.read(interface, _FORWARDING) is not None:
                self.write(interface, _FORWARDING, value)
        self._record.unlink(missing_ok=True)

    def _recorded(self) -> dict[str, str]:
        try:
            found = json.loads(self._record.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return {str(name): str(value) for name, value in found.items()}


def _path(interface: str, key: str) -> Path:
    family, _, name = key.partition("/")
    return _ROOT / family / "conf" / interface / name
