"""What a question "why?" is, and the steps that answer it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "broken", "unknown"]
"""`unknown` also says "this may be a reason, but nobody can tell for sure"."""

_LISTED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """By ids. `forward` with its `protocol`, `reservation` for the way out of a guest, or in by no
    forward, or `peer` for that to another network. `public_port` is the one of several that is
    asked about, `source` who tries, if known. `destination` is where a guest goes, and `port` its
    port there, or that of the guest where the way leads in; both by `protocol`. `version` is the
    family where no address says it."""

    network: str
    forward: str = ""
    protocol: Literal["tcp", "udp", "icmp"] = "tcp"
    public_port: int = 0
    source: str = ""
    reservation: str = ""
    way: Literal["out", "in"] = "out"
    destination: str = ""
    port: int = 0
    version: Literal[4, 6] = 4
    peer: str = ""
    host_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing on the way. `key` is for programs; `detail` may quote the host's own rules or
    name what is others', and is for its operators alone. `mend` names what the panel can do about
    it itself."""

    key: str
    title: str
    verdict: Verdict
    found: str
    wanted: str = ""
    remedy: str = ""
    detail: str = ""
    mend: Literal["", "start_vm", "repair", "resume"] = ""


def first_broken(steps: Iterable[Step]) -> Step | None:
    """The answer to "why not?"; None when nothing was found."""
    return next((step for step in steps if step.verdict == "broken"), None)


def untold(what: str) -> tuple[Step, ...]:
    """What a host says that was never told of it."""
    return (
        broken(
            "told",
            "The host knows of it",
            f"The panel has not told this host of {what}, or has taken it back.",
            wanted=f"{what.capitalize()} among what the host was told.",
            remedy="See whether its last change failed, whether it is paused, or press Repair.",
            mend="repair",
        ),
    )


def ok(key: str, title: str, found: str) -> Step:
    return Step(key=key, title=title, verdict="ok", found=found)


def unknown(key: str, title: str, found: str, **more: str) -> Step:
    return Step(key=key, title=title, verdict="unknown", found=found, **more)  # type: ignore[arg-type]


def broken(
    key: str,
    title: str,
    found: str,
    *,
    wanted: str,
    remedy: str,
    detail: str = "",
    mend: Literal["", "start_vm", "repair", "resume"] = "",
) -> Step:
    return Step(
        key=key,
        title=title,
        verdict="broken",
        found=found,
        wanted=wanted,
        remedy=remedy,
        detail=detail,
        mend=mend,
    )


def listed(names: tuple[str, ...]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
