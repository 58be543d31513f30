"""What this host answers to the panel, by the name of the question. Everything here only
reads; what has to be written is passed on to the worker that may."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from kvmweb.core.errors import HostBusy, Invalid, KvmwebError
from kvmweb.host.answering import Answers
from kvmweb.host.ask import ask
from kvmweb.host.config import HostConfig
from kvmweb.host.program.networks import network_reconciler
from kvmweb.host.program.vms import vm_reconciler
from networks.host import refused
from networks.host.case import explain
from networks.host.drivers import counters
from networks.host.explain.steps import Case, Step
from networks.host.facts import Looker
from networks.host.flows import Listing, Scope, listed
from networks.host.preview import PlannedStep, Preview, detail, network_preview
from networks.host.refused import Refusals, RefusedScope
from networks.host.spec import NetworkSpec, PanelSpec
from networks.host.tasks import END_FLOWS, socket_file, spec_store
from vms.host import hurry
from vms.host.drivers import stats
from vms.host.drivers.domains import Domains
from vms.host.measure import Reading
from vms.host.observe import Observer
from vms.host.spec import VmSpec
from vms.host.tasks import spec_store as vm_store

_LIBVIRT_SECONDS = 2.0
_WORKER_SECONDS = 5.0
_MOST = 200

A = TypeVar("A")


def answers(config: HostConfig) -> Answers:
    """Every question a host knows; each is answered in a thread of its own."""
    return {
        "hello": lambda _: {"name": config.name, "at": time.time()},
        "explain": lambda body: explained(config, _as(Case, body)),
        "plan network": lambda body: _plan_network(config, _as(NetworkSpec, body)),
        "plan panel": lambda body: _plan_panel(config, _as(PanelSpec, body)),
        "hurry vm": lambda body: _hurry(config, _as(Hurry, body)),
        "plan vm": lambda body: _plan_vm(config, _as(VmSpec, body)),
        "flows": lambda body: _flows(config, _as(Scope, body)),
        "refused": lambda body: _refused(config, _as(RefusedScope, body)),
        "measure": lambda body: _measure(config, _as(Watched, body)),
        "end_flows": lambda body: _end_flows(config, _as(Scope, body)),
    }


class Hurry(msgspec.Struct, frozen=True):
    """A wish of this generation waits for what is under way with a VM."""

    subject: str
    generation: int


def _hurry(config: HostConfig, wish: Hurry) -> bool:
    hurry.note(config.paths, wish.subject, wish.generation)
    return True


def explained(config: HostConfig, case: Case) -> tuple[Step, ...]:
    """Why the case is as it is."""
    looker = Looker(
        paths=config.paths,
        uplinks=config.uplinks,
        vm_state=lambda port: _vm_state(config, port),
        key=config.key,
    )
    return explain(looker, spec_store(config.paths).get, case)


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


class Watched(msgspec.Struct):
    """What somebody looks at: VMs by UUID, networks by bridge, forwards by number."""

    vms: Annotated[list[str], Meta(max_length=_MOST)] = []
    networks: Annotated[list[str], Meta(max_length=_MOST)] = []
    forwards: Annotated[list[str], Meta(max_length=_MOST)] = []


def _measure(config: HostConfig, watched: Watched) -> dict[str, Any]:
    """What was counted of each until now; what is not there, or cannot be told, is left out."""
    bridges = counters.bridges() if watched.networks else {}
    numbers = [int(number) for number in watched.forwards if number.isdecimal()]
    forwards = counters.some_forwards(numbers) if numbers else {}
    at = time.monotonic()
    wanted = {name: bridges[name] for name in watched.networks if name in bridges}
    return {
        "vms": _guests(config, watched.vms),
        "networks": {name: {"at": at, "counted": counted} for name, counted in wanted.items()},
        "forwards": {
            str(number): {"at": at, "counted": counted} for number, counted in forwards.items()
        },
    }


def _guests(config: HostConfig, uuids: list[str]) -> dict[str, Reading]:
    if not uuids:
        return {}
    domains = Domains(config.libvirt_uri, call_seconds=_LIBVIRT_SECONDS)
    try:
        return stats.of_some(domains, uuids)
    except KvmwebError:
        return {}
    finally:
        domains.close()


def _plan_network(config: HostConfig, spec: NetworkSpec) -> Preview:
    """What applying the spec would do: nothing is stored and nothing done."""
    with closing(network_reconciler(config)) as reconciler:
        ops, refused = reconciler.preview(spec)
    before = spec_store(config.paths).get(spec.subject)
    reasons = {of: refusal.reason for of, refusal in refused.items()}
    return network_preview(before, spec, ops, reasons)


def _plan_panel(config: HostConfig, spec: PanelSpec) -> Preview:
    with closing(network_reconciler(config)) as reconciler:
        ops = reconciler.preview_panel(spec)
    steps = tuple(PlannedStep(sentence=op.sentence, detail=detail(op)) for op in ops)
    return Preview(steps=steps)


def _plan_vm(config: HostConfig, spec: VmSpec) -> Preview:
    with vm_reconciler(config) as reconciler:
        planned = reconciler.preview(spec)
    steps = tuple(PlannedStep(sentence=op.sentence, detail=lines) for op, lines in planned)
    return Preview(steps=steps, guests=(spec.name,) if steps else ())


def _flows(config: HostConfig, scope: Scope) -> Listing:
    store = spec_store(config.paths)
    return listed(store.get(scope.network), scope, store.get)


def _refused(config: HostConfig, scope: RefusedScope) -> Refusals:
    store = spec_store(config.paths)
    return refused.listed(store.get(scope.network), store.present(), scope)


def _end_flows(config: HostConfig, scope: Scope) -> int:
    """A write, so the network worker does it."""
    question = f"{END_FLOWS} {msgspec.json.encode(scope).decode()}"
    try:
        ended = ask(socket_file(config.paths), question, seconds=_WORKER_SECONDS)
    except (OSError, RuntimeError) as error:
        raise HostBusy(f"The network worker could not end them: {error}.") from error
    if ended is None:
        raise HostBusy(
            "The network worker of the host does not run.", remedy="Start it, then try again."
        )
    return int(ended)


def _as(kind: type[A], body: dict[str, Any]) -> A:
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        raise Invalid(f"The host does not understand the question: {error}.") from error
