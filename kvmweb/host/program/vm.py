"""`python -m kvmweb.host vm`: the VM worker."""

from __future__ import annotations

from functools import partial

from kvmweb.host.config import HostConfig
from kvmweb.host.program.vms import resident_vm_reconciler
from vms.host.tasks import serve


def run(config: HostConfig) -> int:
    """Serve until told to end."""
    return serve(config, partial(resident_vm_reconciler, config))
