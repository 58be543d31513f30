"""The VM worker of a host: what lasts, such as copies and boots, one job per VM at a time.

Everything that holds a connection is made in the child, after the fork.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from celery import Celery, signals

from kvmweb.core.hearing import keep_hearing
from kvmweb.host.app import make_app, run_worker
from kvmweb.host.config import HostConfig, HostPaths
from kvmweb.host.files import locked, patiently_locked
from kvmweb.host.post import Outbox, Post
from kvmweb.host.pulse import give_pulse
from kvmweb.host.store import SpecStore, subject_name
from kvmweb.host.work import Reconciler, Work, add_apply_task
from vms.host.spec import VmSpec

KIND = "vm"
TASK = "vms.apply"
Make = Callable[[], Reconciler[VmSpec]]


def spec_store(paths: HostPaths) -> SpecStore[VmSpec]:
    """The VMs this host was told of."""
    return SpecStore(paths.specs, KIND, VmSpec)


def lock_file(paths: HostPaths) -> Path:
    """Held by the one VM worker of a host."""
    return paths.run / "vm.lock"


def hold(paths: HostPaths, subject: str) -> AbstractContextManager[object]:
    """Keep every other process of this host away from one VM; raises Invalid for no UUID."""
    return locked(paths.run / "vm-jobs" / f"{subject_name(subject)}.lock")


def serve(config: HostConfig, make: Make) -> int:
    """Run the worker until told to end. Waits for another one, or a command, to let go first."""
    with patiently_locked(lock_file(config.paths)):
        spec_store(config.paths).prune()
        app = make_app(config)
        post, outbox = Post(app, config), Outbox(config.paths.outbox / "vm")
        add_apply_task(app, TASK, _Child(app, config, make))
        give_pulse(app, "vm", post, outbox)
        keep_hearing(app)
        signals.worker_before_create_process.connect(_share_memory)
        return run_worker(
            app,
            queue=config.vm_queue,
            pool="prefork",
            slots=config.vm_slots,
            name=f"vm@{config.name}",
        )


class _Child:
    """Makes the work of a process when the process first needs it."""

    def __init__(self, app: Celery, config: HostConfig, make: Make) -> None:
        self._app = app
        self._config = config
        self._make = make
        self._made: tuple[int, Work[VmSpec]] | None = None

    def __call__(self) -> Work[VmSpec]:
        if self._made is None or self._made[0] != os.getpid():
            self._made = os.getpid(), self._work()
        return self._made[1]

    def _work(self) -> Work[VmSpec]:
        paths = self._config.paths
        reconciler = self._make()
        return Work(
            config=self._config,
            kind=KIND,
            spec_type=VmSpec,
            store=spec_store(paths),
            apply=reconciler.apply,
            check=reconciler.check,
            send=Post(self._app, self._config),
            outbox=Outbox(paths.outbox / "vm"),
            hold=lambda subject: hold(paths, subject),
        )


def _share_memory(**_: object) -> None:
    """Keep the collector from writing to, and so copying, the pages children share (gc.freeze)."""
    gc.collect()
    gc.freeze()
