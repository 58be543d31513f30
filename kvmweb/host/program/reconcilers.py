"""The reconcilers of a host as its configuration wants them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from kvmweb.host.config import HostConfig
from networks.host.reconcile import NetworkReconciler
from vms.host.drivers.domains import Domains
from vms.host.plan import RunsUnder
from vms.host.reconcile import VmReconciler


def network_reconciler(config: HostConfig) -> NetworkReconciler:
    """Opens its sockets when it is first used."""
    return NetworkReconciler(config.paths, uplinks=config.uplinks)


def make_vm_reconciler(config: HostConfig, domains: Domains) -> VmReconciler:
    """Connects to libvirt when it is first used."""
    return VmReconciler(config.paths, domains, accelerator=_accelerator)


@contextmanager
def vm_reconciler(config: HostConfig) -> Iterator[VmReconciler]:
    """For a command: with a connection that is closed at the end."""
    with closing(Domains(config.libvirt_uri)) as domains:
        yield make_vm_reconciler(config, domains)


def _accelerator() -> RunsUnder:
    return "tcg"
