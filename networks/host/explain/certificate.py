"""Whether visitors' browsers take the certificate that the host serves a name with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from networks.host.explain.steps import Step, broken, ok
from networks.host.proxy import covers
from networks.host.spec import HostNameSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """What was seen of the certificate that the host was told. `problem` says why it cannot be
    served at all; the rest is known where it can be."""

    problem: str = ""
    names: tuple[str, ...] = ()
    not_before: datetime | None = None
    not_after: datetime | None = None


def certificate(name: HostNameSpec, seen: CertificateFacts, now: datetime) -> Step:
    """For a name whose TLS ends at the host."""
    found = _fault(name, seen, now)
    title = "Browsers take the certificate"
    if found:
        return broken(
            "certificate",
            title,
            found,
            wanted=f"A valid certificate for {name.name} with its own key.",
            remedy="Give the name a certificate that is, and its key.",
        )
    until = f" until {seen.not_after:%Y-%m-%d %H:%M} UTC" if seen.not_after else ""
    return ok(
        "certificate",
        title,
        f"It is for {', '.join(seen.names)}{until}. Whether browsers"
        " trust who issued it is not looked at.",
    )


def _fault(name: HostNameSpec, seen: CertificateFacts, now: datetime) -> str:
    if seen.problem:
        return seen.problem
    if not covers(list(seen.names), name.name):
        return f"It is for {', '.join(seen.names) or 'no name'}, not for {name.name}."
    if seen.not_after is not None and seen.not_after <= now:
        return f"It expired on {seen.not_after:%Y-%m-%d %H:%M} UTC."
    if seen.not_before is not None and now < seen.not_before:
        return f"It is not valid before {seen.not_before:%Y-%m-%d %H:%M} UTC."
    return ""
