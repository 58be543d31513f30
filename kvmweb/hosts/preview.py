"""What a change would do on its hosts, asked before it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from kvmweb.hosts.ask import HostCannotSay, ask
from kvmweb.hosts.models import Host
from kvmweb.jobs.pretend import Pretended, pretend


class Planned(msgspec.Struct, frozen=True):
    """One step on a host, and the elements, files or settings behind it."""

    sentence: str
    detail: list[str] = []


class Plan(msgspec.Struct, frozen=True):
    """What a host would do for one subject, see `networks.host.preview`."""

    steps: list[Planned] = []
    guests: list[str] = []
    refused: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class PreviewOf:
    """The plan of one subject; `confirm` is what would be lost and has to be confirmed, `problem`
    why its host would not do it at all."""

    kind: str
    name: str
    plan: Plan
    confirm: str = ""
    problem: str = ""
    remedy: str = ""


def preview(action: Callable[[], object]) -> list[PreviewOf]:
    """What the action would do: nothing is written, and nothing is sent to be applied.

    Raises what the action raises, and `HostSilent`. A VM that does not exist yet waits for its
    network, so its own steps are as far as its host can tell them now.
    """
    return [_asked(each) for each in pretend(action)]


def _asked(pretended: Pretended) -> PreviewOf:
    subject: Any = pretended.subject
    host = cast("Host", subject.host)
    kind, name = subject.kind, str(subject)
    try:
        said = ask(host, f"plan {kind}", pretended.spec)
    except HostCannotSay as error:
        return PreviewOf(kind, name, Plan(), pretended.confirm, error.message, error.remedy)
    return PreviewOf(kind, name, msgspec.convert(said, Plan), pretended.confirm)
