"""The network worker of a host: the process that stays, with the reconciler that owns the kernel.

It puts everything back from the stored specs before it has reached any broker, and holds the lock
that says who owns the firewall here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TypeVar

import msgspec

from kvmweb.core.hearing import keep_hearing
from kvmweb.host.app import make_app, run_worker
from kvmweb.host.ask import Answering
from kvmweb.host.config import HostConfig, HostPaths
from kvmweb.host.files import patiently_locked
from kvmweb.host.plans import plans_of
from kvmweb.host.post import Outbox, Post
from kvmweb.host.progress import Outcome, silent
from kvmweb.host.pulse import give_pulse
from kvmweb.host.store import SpecStore
from kvmweb.host.work import Reconciler, Work, add_apply_task
from networks.host.drift import DriftNews
from networks.host.flows import Scope, ended
from networks.host.mend import add_mend_task
from networks.host.reconcile import NetworkReconciler
from networks.host.spec import NetworkSpec, PanelSpec
from networks.host.watch import Watcher

log = logging.getLogger(__name__)

KIND = "network"
TASK = "networks.apply"
PANEL = "panel"
PANEL_TASK = "networks.apply_panel"
END_FLOWS = "end_flows"
R = TypeVar("R", bound=Reconciler[NetworkSpec])


def spec_store(paths: HostPaths) -> SpecStore[NetworkSpec]:
    """The networks this host was told of."""
    return SpecStore(paths.specs, KIND, NetworkSpec)


def panel_store(paths: HostPaths) -> SpecStore[PanelSpec]:
    """The names of the panel this host was told of."""
    return SpecStore(paths.specs, PANEL, PanelSpec)


def restore_panel(store: SpecStore[PanelSpec], reconciler: NetworkReconciler) -> None:
    """Put back the panel's names."""
    for spec in store.present():
        outcome = reconciler.apply_panel(spec, silent)
        if not outcome.ok:
            log.error("not_restored code=%s message=%s", outcome.code, outcome.message)


def lock_file(paths: HostPaths) -> Path:
    """Who holds this lock owns the firewall, the bridges and the DHCP server of kvmweb here."""
    return paths.run / "net.lock"


def socket_file(paths: HostPaths) -> Path:
    """Where the running worker answers commands, see `kvmweb.host.ask`."""
    return paths.run / "net.sock"


def restore(store: SpecStore[NetworkSpec], reconciler: Reconciler[NetworkSpec]) -> list[Outcome]:
    """Put every stored network back; returns how each ended, in the order of their subjects.

    What is there of a network that is not to be repaired is left as it is.
    """
    outcomes = reconciler.restore(_to_restore(store, reconciler), silent)
    for outcome in outcomes:
        if not outcome.ok:
            log.error("not_restored code=%s message=%s", outcome.code, outcome.message)
    log.info("restored networks=%s", sum(outcome.ok for outcome in outcomes))
    return outcomes


def _to_restore(
    store: SpecStore[NetworkSpec], reconciler: Reconciler[NetworkSpec]
) -> Iterator[NetworkSpec]:
    for spec in store.present():
        if not isinstance(reconciler, NetworkReconciler) or not reconciler.watch_only(spec):
            yield spec


@contextmanager
def watched(config: HostConfig, reconciler: NetworkReconciler) -> Iterator[None]:
    """Repair what others break while the context lasts, and tell; then let go of everything."""
    news = DriftNews(outbox(config), config.paths.run / "drift.json")
    watcher = Watcher(reconciler, news.tell, news.over)
    watcher.start()
    try:
        yield
    finally:
        watcher.close()
        reconciler.close()


def serve(
    config: HostConfig,
    make: Callable[[], R],
    beside: Callable[[R], AbstractContextManager[object]] = nullcontext,
) -> int:
    """Run the worker until told to end, and `beside` it what lasts as long.

    Waits for another worker, or a command, to let go first.
    """
    with patiently_locked(lock_file(config.paths)):
        store = spec_store(config.paths)
        store.prune()
        reconciler = make()
        restore(store, reconciler)
        if isinstance(reconciler, NetworkReconciler):
            restore_panel(panel_store(config.paths), reconciler)
        answers: dict[str, Callable[..., object]] = {
            "restore": lambda: restore(store, reconciler),
            "check": lambda: plans_of(KIND, store.present() + store.absent(), reconciler),
            END_FLOWS: lambda text: _end_flows(store, text),
        }
        with beside(reconciler), Answering(socket_file(config.paths), answers):
            return _work(config, store, reconciler)


def _end_flows(store: SpecStore[NetworkSpec], text: str) -> int:
    scope = msgspec.json.decode(text, type=Scope)
    return ended(store.get(scope.network), scope)


def outbox(config: HostConfig) -> Outbox:
    """What the network worker has to say and cannot send at once."""
    return Outbox(config.paths.outbox / "net")


def _work(
    config: HostConfig, store: SpecStore[NetworkSpec], reconciler: Reconciler[NetworkSpec]
) -> int:
    app = make_app(config)
    post, kept = Post(app, config), outbox(config)
    work = Work(
        config=config,
        kind=KIND,
        spec_type=NetworkSpec,
        store=store,
        apply=reconciler.apply,
        check=reconciler.check,
        send=post,
        outbox=kept,
    )
    add_apply_task(app, TASK, lambda: work)
    if isinstance(reconciler, NetworkReconciler):
        panel = Work(
            config=config,
            kind=PANEL,
            spec_type=PanelSpec,
            store=panel_store(config.paths),
            apply=reconciler.apply_panel,
            check=reconciler.check_panel,
            send=post,
            outbox=kept,
        )
        add_apply_task(app, PANEL_TASK, lambda: panel)
    add_mend_task(app, config, kept)
    give_pulse(app, "net", post, kept)
    keep_hearing(app)
    return run_worker(app, queue=config.net_queue, pool="solo", slots=1, name=f"net@{config.name}")
