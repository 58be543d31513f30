"""What this host answers to the panel, by the name of the question. Everything here only reads."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from kvmweb.core.errors import Invalid, KvmwebError
from kvmweb.host.answering import Answers
from kvmweb.host.config import HostConfig
from networks.host.case import explain
from networks.host.explain import Case, Step
from networks.host.facts import Looker
from networks.host.tasks import spec_store
from vms.host.drivers.domains import Domains
from vms.host.observe import Observer
from vms.host.tasks import spec_store as vm_store

_LIBVIRT_SECONDS = 2.0


def answers(config: HostConfig) -> Answers:
    """Every question a host knows; each is answered in a thread of its own."""
    return {
        "hello": lambda _: {"name": config.name, "at": time.time()},
        "explain": lambda body: explained(config, _as(Case, body)),
    }


def explained(config: HostConfig, case: Case) -> tuple[Step, ...]:
    """Why the case is as it is."""
    spec = spec_store(config.paths).get(case.network)
    looker = Looker(
        paths=config.paths,
        uplinks=config.uplinks,
        vm_state=lambda port: _vm_state(config, port),
    )
    return explain(looker, spec, case)


def _vm_state(config: HostConfig, port: str) -> str | None:
    """The power state of the VM that was given this guest port; empty while libvirt is away."""
    vms = vm_store(config.paths).present()
    vm = next((vm for vm in vms if any(nic.tap == port for nic in vm.nics)), None)
    if vm is None:
        return None
    domains = Domains(config.libvirt_uri, call_seconds=_LIBVIRT_SECONDS)
    try:
        seen = {one.subject: one.state for one in Observer(domains).all()}
    except KvmwebError:
        return ""
    finally:
        domains.close()
    return seen.get(vm.subject, "off")


def _as(kind: type[Case], body: dict[str, Any]) -> Case:
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        raise Invalid(f"The host does not understand the question: {error}.") from error
