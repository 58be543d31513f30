"""Settings under /proc/sys/net, and a record of the host's own that we changed.

/proc/sys/net shows the namespace of the calling thread. Settings of our bridges are not recorded:
they vanish with them.
"""

from __future__ import annotations

import json
from pathlib import Path

from kvmweb.core.errors import HostError
from kvmweb.host.files import write_durably

_ROOT = Path("/proc/sys/net")
_FORWARDING = "ipv4/forwarding"
_BRIDGE_FILTER = "bridge/bridge-nf-call-iptables"


class Sysctls:
    """`record` maps the host's own settings that we changed to their former value: forwarding by
    the name of the interface, the filter of bridged frames by `_BRIDGE_FILTER`."""

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
        return frozenset(self._recorded()) - {_BRIDGE_FILTER}

    def enable_forwarding(self, interface: str) -> None:
        """Switch forwarding on; the former value is on disk before it is lost."""
        self._remember(interface, self.read(interface, _FORWARDING) or "0")
        self.write(interface, _FORWARDING, "1")

    def filters_bridged(self) -> bool:
        """Whether bridged IPv4 frames pass the IP firewall (br_netfilter is there and on)."""
        try:
            return (_ROOT / _BRIDGE_FILTER).read_text().strip() == "1"
        except OSError:
            return False

    def pass_bridged(self) -> None:
        """Keep bridged IPv4 frames out of the IP firewall."""
        self._remember(_BRIDGE_FILTER, "1")
        (_ROOT / _BRIDGE_FILTER).write_text("0")

    def put_back(self) -> None:
        """Restore what was recorded, unless the host has become a router by its own settings."""
        recorded = self._recorded()
        bridged = recorded.pop(_BRIDGE_FILTER, None)
        if bridged is not None and (_ROOT / _BRIDGE_FILTER).exists():
            (_ROOT / _BRIDGE_FILTER).write_text(bridged)
        for interface, value in recorded.items():
            if not self.is_router() and self.read(interface, _FORWARDING) is not None:
                self.write(interface, _FORWARDING, value)
        self._record.unlink(missing_ok=True)

    def _remember(self, name: str, value: str) -> None:
        recorded = self._recorded()
        if name not in recorded:
            write_durably(self._record, json.dumps({**recorded, name: value}).encode())

    def _recorded(self) -> dict[str, str]:
        try:
            found = json.loads(self._record.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return {str(name): str(value) for name, value in found.items()}


def _path(interface: str, key: str) -> Path:
    family, _, name = key.partition("/")
    return _ROOT / family / "conf" / interface / name
