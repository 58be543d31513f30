"""The counters of guests: of all that run in one call, or of some."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import libvirt

from vms.host.drivers.domains import Domains
from vms.host.measure import Reading, reading

_WHAT = (
    libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
    | libvirt.VIR_DOMAIN_STATS_BALLOON
    | libvirt.VIR_DOMAIN_STATS_INTERFACE
    | libvirt.VIR_DOMAIN_STATS_BLOCK
)
# A guest that is being changed, or whose QEMU hangs, is not waited for: libvirt leaves out what it
# would have to ask QEMU.
_HOW = (
    libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE
    | libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
)


def of_all(
    domains: Domains, is_ours: Callable[[Any], bool], *, memory: bool = True
) -> dict[str, Reading]:
    """By the UUID of each guest of ours that runs. Asking about memory is a third of the cost.
    Raises HostBusy, LibvirtError."""
    what = _WHAT if memory else _WHAT & ~libvirt.VIR_DOMAIN_STATS_BALLOON

    def ask(connection: Any) -> dict[str, Reading]:
        return _readings(
            (domain, stats)
            for domain, stats in connection.getAllDomainStats(what, _HOW)
            if is_ours(domain)
        )

    return domains.ask(ask)


def of_some(domains: Domains, uuids: Iterable[str]) -> dict[str, Reading]:
    """By UUID, without those that do not run."""

    def ask(connection: Any) -> dict[str, Reading]:
        found = []
        for uuid in uuids:
            with suppress(libvirt.libvirtError):
                found.append(connection.lookupByUUIDString(uuid))
        return _readings(connection.domainListGetStats(found, _WHAT, _HOW) if found else ())

    return domains.ask(ask)


def _readings(pairs: Iterable[tuple[Any, dict[str, Any]]]) -> dict[str, Reading]:
    at = time.monotonic()
    return {
        domain.UUIDString(): reading(stats, run=domain.ID(), at=at)
        for domain, stats in pairs
        if domain.ID() != -1
    }
