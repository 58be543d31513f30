"""`python -m kvmweb.host vm`: the VM worker."""

from __future__ import annotations

from kvmweb.host.config import HostConfig
from kvmweb.host.program.reconcilers import make_vm_reconciler
from vms.host.drivers.domains import Domains
from vms.host.tasks import serve


def run(config: HostConfig) -> int:
    """Serve until told to end."""
    return serve(config, lambda: make_vm_reconciler(config, Domains(config.libvirt_uri)))
