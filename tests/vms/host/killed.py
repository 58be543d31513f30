"""Apply a spec and die by SIGKILL after a given number of operations; a program for the tests.

`python -m tests.vms.host.killed URI FOLDER OPERATIONS <SPEC`
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import msgspec

from kvmweb.host.config import HostPaths
from kvmweb.host.progress import silent
from vms.host.drivers.domains import Domains
from vms.host.ops import Op
from vms.host.reconcile import VmReconciler
from vms.host.spec import VmSpec


def main() -> None:
    uri, folder, operations = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    spec = msgspec.json.decode(sys.stdin.buffer.read(), type=VmSpec)
    done = 0

    def die(op: Op) -> None:
        nonlocal done
        done += 1
        if done == operations:
            os.kill(os.getpid(), signal.SIGKILL)

    paths = HostPaths.under(folder / "state", folder / "run")
    reconciler = VmReconciler(paths, Domains(uri), accelerator=lambda: "tcg", after_op=die)
    outcome = reconciler.apply(spec, silent)
    sys.stdout.buffer.write(msgspec.json.encode(outcome))


if __name__ == "__main__":
    main()
