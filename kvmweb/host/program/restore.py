"""`python -m kvmweb.host restore`: put everything back without panel, database or broker.

Networks come first, then the VMs that should run on them. Where the network worker runs it is asked
to do its part, because it holds the firewall.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import msgspec

from kvmweb.host.ask import ask
from kvmweb.host.config import HostConfig
from kvmweb.host.files import locked
from kvmweb.host.program.networks import network_reconciler
from kvmweb.host.program.vms import vm_reconciler
from kvmweb.host.progress import Outcome, silent
from networks.host import tasks as networks
from vms.host import tasks as vms


def run(config: HostConfig) -> int:
    """Returns 1 when something could not be put back."""
    failed = [*_failed("network", _networks(config)), *_failed("VM", _vms(config))]
    for sentence in failed:
        print(sentence, file=sys.stderr)
    if not failed:
        print("Everything is back.")
    return 1 if failed else 0


def _networks(config: HostConfig) -> list[Outcome]:
    answer: Any = ask(networks.socket_file(config.paths), "restore")
    if answer is not None:
        return msgspec.convert(answer, list[Outcome])
    with locked(networks.lock_file(config.paths), wait=False):
        reconciler = network_reconciler(config)
        try:
            return networks.restore(networks.spec_store(config.paths), reconciler)
        finally:
            reconciler.close()


def _vms(config: HostConfig) -> list[Outcome]:
    specs = vms.spec_store(config.paths).present()
    if not specs:
        return []
    with vm_reconciler(config) as reconciler:
        outcomes = []
        for spec in specs:
            with vms.hold(config.paths, spec.subject):
                outcomes += reconciler.restore([spec], silent)
        return outcomes


def _failed(what: str, outcomes: Iterable[Outcome]) -> list[str]:
    return [
        f"A {what} was not restored: {outcome.message} {outcome.remedy}".strip()
        for outcome in outcomes
        if not outcome.ok
    ]
