"""All our domains of one libvirtd at a glance, for the monitor.

One call brings the states of all, one tells which are saved to disk; whose a domain is stands in
its metadata, which is asked for once per domain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import libvirt

from vms.host.domain_xml import NAMESPACE
from vms.host.drivers.domains import Domains, power_state, reason_text
from vms.host.state import PowerState

_SAVED = libvirt.VIR_CONNECT_LIST_DOMAINS_INACTIVE | libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One domain of ours; `reason` is a sentence, empty where the state says it all."""

    subject: str
    state: PowerState
    reason: str = ""


class Observer:
    """Remembers which domains are ours."""

    def __init__(self, domains: Domains) -> None:
        self._domains = domains
        self._ours: dict[str, bool] = {}

    def all(self) -> tuple[Seen, ...]:
        """Every domain of ours, running or not. Raises HostBusy, LibvirtError."""
        return self._domains.ask(self._listed)

    def is_ours(self, domain: Any) -> bool:
        """Whether this virDomain was made by us."""
        subject = domain.UUIDString()
        if subject not in self._ours:
            self._ours[subject] = has_our_metadata(domain)
        return self._ours[subject]

    def _listed(self, connection: Any) -> tuple[Seen, ...]:
        pairs = connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0)
        saved = {domain.UUIDString() for domain in connection.listAllDomains(_SAVED)}
        there = {domain.UUIDString() for domain, _ in pairs}
        self._ours = {subject: ours for subject, ours in self._ours.items() if subject in there}
        return tuple(
            _seen(domain.UUIDString(), stats, saved)
            for domain, stats in pairs
            if self.is_ours(domain)
        )


def _seen(subject: str, stats: dict[str, int], saved: set[str]) -> Seen:
    state = power_state(stats["state.state"])
    if state == "off" and subject in saved:
        return Seen(subject=subject, state="saved")
    return Seen(
        subject=subject,
        state=state,
        reason=reason_text(stats["state.state"], stats["state.reason"]),
    )


def has_our_metadata(domain: Any) -> bool:
    """Asked of the definition, so a domain just removed has none."""
    try:
        domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE, 0)
    except libvirt.libvirtError:
        return False
    return True
