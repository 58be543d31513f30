"""Which addresses guests hold by DHCP, as dnsmasq wrote it down; for the monitor.

dnsmasq writes its file anew with every lease, so its time tells whether there is news at all. Only
what differs from what was last told is told again; after a start of the monitor that is everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROUND = 5.0
_LARGEST = 2000


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease; `expires` is in seconds since 1970, `hostname` what the guest calls itself."""

    mac: str
    address: str
    hostname: str
    expires: int


class Leases:
    """Remembers what was told. For one thread at a time. `routers` is the folder of networks that
    have a dnsmasq of their own."""

    def __init__(self, file: Path, routers: Path) -> None:
        self._file = file
        self._routers = routers
        self._seen: dict[Path, tuple[int, int]] = {}
        self._told: dict[str, Lease] | None = None

    def news(self) -> Iterator[dict[str, Any]]:
        """Payloads with what has changed; each counts as told when the next is asked for. The
        first one says that it begins anew."""
        seen = dict(self._stamps())
        if seen == self._seen and self._told is not None:
            return
        now = {lease.mac: lease for file in seen for lease in read(file)}
        anew, told = self._told is None, self._told or {}
        changed = [lease for mac, lease in now.items() if told.get(mac) != lease]
        gone = sorted(told.keys() - now.keys())
        for first in range(0, max(len(changed), bool(anew or gone)), _LARGEST):
            part = changed[first : first + _LARGEST]
            at_first = first == 0
            yield {
                "anew": anew and at_first,
                "leases": [asdict(lease) for lease in part],
                "gone": gone if at_first else [],
            }
        self._told, self._seen = now, seen

    def _stamps(self) -> Iterator[tuple[Path, tuple[int, int]]]:
        for file in (self._file, *sorted(self._routers.glob("*/dnsmasq/leases"))):
            try:
                status = file.stat()
            except OSError:
                continue
            yield file, (status.st_mtime_ns, status.st_size)


def read(file: Path) -> Iterator[Lease]:
    """Each line is `expiry mac address hostname client-id`, the host name `*` when there is none;
    a line that is half written is left for the next time."""
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        words = line.split()
        if len(words) >= 4 and words[0].isdigit() and words[1].count(":") == 5:
            hostname = "" if words[3] == "*" else words[3]
            yield Lease(words[1].lower(), words[2], hostname, int(words[0]))
