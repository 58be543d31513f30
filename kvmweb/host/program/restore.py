"""`python -m kvmweb.host restore`: put everything back without panel, database or broker.

Networks come first, then the VMs that should run on them. Where the network worker runs it is asked
to do its part, because it holds the firewall.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from contextlib import closing
from typing import Any

import msgspec

from kvmweb.core.errors import HostBusy
from kvmweb.host.ask import ask
from kvmweb.host.config import HostConfig
from kvmweb.host.files import locked
from kvmweb.host.program.boot import remember_restored
from kvmweb.host.program.networks import network_reconciler
from kvmweb.host.program.vms import vm_reconciler
from kvmweb.host.progress import Outcome, silent
from kvmweb.host.work import PAUSES, Reconciler
from networks.host import tasks as networks
from vms.host import tasks as vms
from vms.host.spec import VmSpec


def run(config: HostConfig) -> int:
    """Returns 1 when something could not be put back."""
    failed = [*_failed("network", _networks(config)), *_failed("VM", _vms(config))]
    for sentence in failed:
        print(sentence, file=sys.stderr)
    if not failed:
        remember_restored(config.paths)
        print("Everything is back.")
    return 1 if failed else 0


def _networks(config: HostConfig) -> list[Outcome]:
    answer: Any = ask(networks.socket_file(config.paths), "restore")
    if answer is not None:
        return msgspec.convert(answer, list[Outcome])
    with (
        locked(networks.lock_file(config.paths), wait=False),
        closing(network_reconciler(config)) as reconciler,
    ):
        return networks.restore(networks.spec_store(config.paths), reconciler)


def _vms(config: HostConfig) -> list[Outcome]:
    specs = vms.spec_store(config.paths).present()
    if not specs:
        return []
    with vm_reconciler(config) as reconciler:
        return [_vm(config, spec, reconciler) for spec in specs]


def _vm(config: HostConfig, spec: VmSpec, reconciler: Reconciler[VmSpec]) -> Outcome:
    """One VM, again and again while libvirt does not answer: after a boot it may be late."""
    with vms.hold(config.paths, spec.subject):
        for pause in (*PAUSES, 0):
            (outcome,) = reconciler.restore([spec], silent)
            if outcome.ok or outcome.code != HostBusy.code:
                break
            time.sleep(pause)
        return outcome


def _failed(what: str, outcomes: Iterable[Outcome]) -> list[str]:
    return [
        f"A {what} was not restored: {outcome.message} {outcome.remedy}".strip()
        for outcome in outcomes
        if not outcome.ok
    ]
