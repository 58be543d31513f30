"""`python -m kvmweb.host vm`: the VM worker.

After a start of the machine it first has everything put back: guests that were on are on again
before anybody asks, with a broker or without.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from functools import partial

from kvmweb.host.config import HostConfig
from kvmweb.host.program.boot import is_restored, remember_restored
from kvmweb.host.program.vms import resident_vm_reconciler
from vms.host.tasks import serve, spec_store

log = logging.getLogger(__name__)


def run(config: HostConfig) -> int:
    """Serve until told to end."""
    if not is_restored(config.paths):
        _restore(config)
    return serve(config, partial(resident_vm_reconciler, config))


def _restore(config: HostConfig) -> None:
    """In a process of its own: this one must not connect to libvirt before it forks."""
    if not spec_store(config.paths).present():
        remember_restored(config.paths)
        return
    log.info("restoring_after_boot")
    options = sys.argv[2:]
    subprocess.Popen([sys.executable, "-m", "kvmweb.host", "restore", *options])
