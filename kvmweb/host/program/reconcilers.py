"""The reconcilers of a host as its configuration wants them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from kvmweb.host.config import HostConfig
from networks.host.reconcile import NetworkReconciler
from vms.host.accelerator import Found, probe
from vms.host.drivers.domains import Domains
from vms.host.reconcile import VmReconciler


def network_reconciler(config: HostConfig) -> NetworkReconciler:
    """Opens its sockets when it is first used."""
    return NetworkReconciler(config.paths, uplinks=config.uplinks)


def make_vm_reconciler(config: HostConfig, domains: Domains) -> VmReconciler:
    """Connects to libvirt when it is first used."""
    return VmReconciler(config.paths, domains, accelerator=lambda: accelerator(config).accelerator)


@contextmanager
def vm_reconciler(config: HostConfig) -> Iterator[VmReconciler]:
    """For a command: with a connection that is closed at the end."""
    with closing(Domains(config.libvirt_uri)) as domains:
        yield make_vm_reconciler(config, domains)


def accelerator(config: HostConfig) -> Found:
    """What guests run under here: what the operator set, else what a trial showed since boot."""
    if config.accelerator != "auto":
        return Found(accelerator=config.accelerator, reason="Set in the configuration of the host.")
    return probe(config.trial_image, cache=config.paths.state / "accelerator.json")
