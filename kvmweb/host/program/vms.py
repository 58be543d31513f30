"""The VM reconciler of a host as its configuration wants it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from kvmweb.host.config import HostConfig
from kvmweb.host.program.accelerator import accelerator
from vms.host.drivers.domains import Domains
from vms.host.reconcile import VmReconciler


def resident_vm_reconciler(config: HostConfig) -> VmReconciler:
    """Connects to libvirt when it is first used, and stays connected."""
    return _reconciler(config, Domains(config.libvirt_uri))


@contextmanager
def vm_reconciler(config: HostConfig) -> Iterator[VmReconciler]:
    """For a command: with a connection that is closed at the end."""
    with closing(Domains(config.libvirt_uri)) as domains:
        yield _reconciler(config, domains)


def _reconciler(config: HostConfig, domains: Domains) -> VmReconciler:
    return VmReconciler(
        config.paths,
        domains,
        accelerator=lambda: accelerator(config).accelerator,
        cache_bytes=config.image_cache_gib << 30,
    )
