"""Starts a worker of a host that dies by SIGKILL right after its n-th op: `net|vm N CONFIG`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from kvmweb.host.app import set_up_logging
from kvmweb.host.config import HostConfig, load
from networks.host import tasks as networks
from networks.host.reconcile import NetworkReconciler
from vms.host import tasks as vms
from vms.host.drivers.domains import Domains
from vms.host.reconcile import VmReconciler


def dying_after(number: int) -> Callable[[object], None]:
    """An `after_op` that kills the whole process group with its n-th op."""
    done = 0

    def after_op(_: object) -> None:
        nonlocal done
        done += 1
        if done == number:
            os.killpg(os.getpgid(0), signal.SIGKILL)

    return after_op


def serve(kind: str, config: HostConfig, after_op: Callable[[object], None]) -> int:
    """Run the worker of `kind` until it dies."""
    if kind == "net":
        return networks.serve(
            config,
            lambda: NetworkReconciler(
                config.paths, uplinks=config.uplinks, after_op=after_op, key=config.key
            ),
        )
    return vms.serve(
        config,
        lambda: VmReconciler(
            config.paths,
            Domains(config.libvirt_uri),
            accelerator=lambda: "tcg",
            after_op=after_op,
        ),
    )


if __name__ == "__main__":
    set_up_logging(sys.argv[1])
    sys.exit(serve(sys.argv[1], load(Path(sys.argv[3])), dying_after(int(sys.argv[2]))))
