"""Settings under /proc/sys/net, and a record of the host's own that we changed.

/proc/sys/net shows the namespace of the calling thread. Settings of our bridges are not recorded:
they vanish with them.

IPv6 is forwarded by a switch of the whole host. Switching it makes every interface a router's, and
a router takes neither default route nor address from other routers, unless `accept_ra` is 2; what
it had from them goes at that moment (Documentation/networking/ip-sysctl.rst). So interfaces that
listened go on to before it is switched.
"""

from __future__ import annotations

import json
from pathlib import Path

from kvmweb.core.errors import HostError
from kvmweb.core.names import BRIDGE_PREFIX, PORT_PREFIX
from kvmweb.host.files import write_durably

_ROOT = Path("/proc/sys/net")
_FORWARDING = "ipv4/forwarding"
_FORWARDING6, _ACCEPT_RA = "ipv6/forwarding", "ipv6/accept_ra"
_LISTENS, _LISTENS_AS_ROUTER = "1", "2"
_EVERY = "all"
_BRIDGE_FILTERS = ("bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables")
_OURS = (BRIDGE_PREFIX, PORT_PREFIX)


class Sysctls:
    """`record` maps the host's own settings that we changed to their former value: forwarding of
    IPv4 by the name of the interface, all others by their path."""

    def __init__(self, record: Path) -> None:
        self._record = record

    def read(self, interface: str, key: str) -> str | None:
        """The value, None where the interface or this part of the kernel is missing."""
        return _read(f"{_ROOT}/{_key(interface, key)}")

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
        return frozenset(name for name in self._recorded() if "/" not in name)

    def enable_forwarding(self, interface: str) -> None:
        """Switch forwarding on; the former value is on disk before it is lost."""
        self._remember({interface: self.read(interface, _FORWARDING) or "0"})
        self.write(interface, _FORWARDING, "1")

    def filters_bridged(self) -> bool:
        """Whether bridged frames pass the IP firewall (br_netfilter is there and on)."""
        return bool(_filters_on())

    def pass_bridged(self) -> None:
        """Keep bridged frames out of the IP firewall."""
        found = _filters_on()
        self._remember(dict.fromkeys(found, "1"))
        for path in found:
            (_ROOT / path).write_text("0")

    def has_ipv6(self) -> bool:
        """Whether the kernel knows IPv6."""
        return self.read(_EVERY, _FORWARDING6) is not None

    def is_router6(self) -> bool:
        """Whether the host forwards IPv6."""
        return self.read(_EVERY, _FORWARDING6) == "1"

    def routes6_for_us(self) -> bool:
        """Whether it does, or is about to, because of us."""
        return _key(_EVERY, _FORWARDING6) in self._recorded()

    def is_deaf(self, interface: str) -> bool:
        """Whether the interface would listen to routers but for being one itself."""
        return (
            self.read(interface, _ACCEPT_RA) == _LISTENS
            and self.read(interface, _FORWARDING6) == "1"
        )

    def enable_forwarding6(self) -> None:
        """Forward IPv6 everywhere and go on listening to routers; all of it is on disk before."""
        names = [path.name for path in (_ROOT / "ipv6/conf").iterdir()]
        names = [name for name in names if name not in {_EVERY, "lo"}]
        names = [name for name in names if not name.startswith(_OURS)]
        listening = [name for name in names if self.read(name, _ACCEPT_RA) == _LISTENS]
        former = {_key(name, _ACCEPT_RA): _LISTENS for name in listening}
        if not self.is_router6():
            keys = [(name, _FORWARDING6) for name in (_EVERY, *names)]
            former |= {_key(name, key): self.read(name, key) or "0" for name, key in keys}
        self._remember(former)
        for name in listening:
            self.write(name, _ACCEPT_RA, _LISTENS_AS_ROUTER)
        if not self.is_router6():
            self.write(_EVERY, _FORWARDING6, "1")

    def put_back(self) -> None:
        """Restore what was recorded, unless the host has become a router by its own settings."""
        for name, value in sorted(self._recorded().items(), key=_order):
            if "/" in name:
                self._put_back(_ROOT / name, value)
            elif not self.is_router():
                self._put_back(_path(name, _FORWARDING), value)
        self._record.unlink(missing_ok=True)

    def _put_back(self, path: Path, value: str) -> None:
        if path.exists():
            path.write_text(value)

    def _remember(self, former: dict[str, str]) -> None:
        """What is recorded already was changed before, so its value now is not the host's own."""
        recorded = self._recorded()
        if former.keys() - recorded.keys():
            write_durably(self._record, json.dumps({**former, **recorded}).encode())

    def _recorded(self) -> dict[str, str]:
        try:
            found = json.loads(self._record.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return {str(name): str(value) for name, value in found.items()}


def _filters_on() -> list[str]:
    return [path for path in _BRIDGE_FILTERS if _read(_ROOT / path) == "1"]


def _order(recorded: tuple[str, str]) -> bool:
    """The switch of the whole host sets those of its interfaces, so it goes first."""
    return recorded[0] != _key(_EVERY, _FORWARDING6)


def _read(path: str | Path) -> str | None:
    """A plain open: every look at a network reads a dozen of these."""
    try:
        with open(path) as stream:  # noqa: PTH123
            return stream.read().strip()
    except OSError:
        return None


def _path(interface: str, key: str) -> Path:
    return _ROOT / _key(interface, key)


def _key(interface: str, key: str) -> str:
    family, _, name = key.partition("/")
    return f"{family}/conf/{interface}/{name}"
