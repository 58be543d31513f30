"""`python -m kvmweb.host check`: what is not as the stored specs say. Changes nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import msgspec

from kvmweb.host.ask import ask
from kvmweb.host.config import HostConfig
from kvmweb.host.files import locked
from kvmweb.host.plans import Plan, plans_of
from kvmweb.host.program.networks import network_reconciler
from kvmweb.host.program.vms import vm_reconciler
from networks.host import tasks as networks
from vms.host import tasks as vms


def run(config: HostConfig) -> int:
    """Prints a line per subject, and one per step it still needs; returns 1 when there are any."""
    plans = [*_networks(config), *_vms(config)]
    for plan in plans:
        for line in _lines(plan):
            sys.stdout.write(line + "\n")
    return 0 if all(plan.is_done for plan in plans) else 1


def _networks(config: HostConfig) -> list[Plan]:
    answer: Any = ask(networks.socket_file(config.paths), "check")
    if answer is not None:
        return msgspec.convert(answer, list[Plan])
    store = networks.spec_store(config.paths)
    with (
        locked(networks.lock_file(config.paths), wait=False),
        closing(network_reconciler(config)) as reconciler,
    ):
        return plans_of("network", store.present() + store.absent(), reconciler)


def _vms(config: HostConfig) -> list[Plan]:
    store = vms.spec_store(config.paths)
    specs = store.present() + store.absent()
    if not specs:
        return []
    with vm_reconciler(config) as reconciler:
        return plans_of("vm", specs, reconciler)


def _lines(plan: Plan) -> Iterator[str]:
    head = f"{plan.kind} {plan.name} ({plan.subject}): "
    if plan.error:
        yield f"{head}cannot be checked: {plan.error}"
    elif plan.is_done:
        yield f"{head}nothing to do"
    else:
        yield f"{head}{len(plan.steps)} to do"
        yield from (f"  missing: {step}" for step in plan.steps)
