"""`python -m kvmweb.host reset`: remove everything kvmweb made on this host, guests and disks too.

The workers must have ended. What a host was told of is known from its stored specs; images and
everything else of ours in its folders go at the end.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from uuid import UUID

from kvmweb.host.config import HostConfig
from kvmweb.host.files import locked
from kvmweb.host.program.networks import network_reconciler
from kvmweb.host.program.vms import vm_reconciler
from kvmweb.host.progress import silent
from networks.host import tasks as networks
from vms.host import tasks as vms
from vms.host.spec import VmSpec


def run(config: HostConfig) -> int:
    """Returns 1 when something is left; run again after mending what is said."""
    with (
        locked(vms.lock_file(config.paths), wait=False),
        locked(networks.lock_file(config.paths), wait=False),
    ):
        failed = list(_remove_vms(config))
        _remove_networks(config)
        if not failed:
            _remove_files(config)
    for sentence in failed:
        print(sentence, file=sys.stderr)
    if not failed:
        print("Everything that kvmweb made on this host is gone.")
    return 1 if failed else 0


def _remove_vms(config: HostConfig) -> Iterator[str]:
    store = vms.spec_store(config.paths)
    specs = store.present() + store.absent()
    doomed = [replace(spec, present=False) for spec in specs] + _forgotten(config, specs)
    if not doomed:
        return
    with vm_reconciler(config) as reconciler:
        for spec in doomed:
            outcome = reconciler.apply(spec, silent)
            if outcome.ok:
                store.forget(spec.subject)
            else:
                yield f"{spec.name or spec.domain} was not removed: {outcome.message}"


def _forgotten(config: HostConfig, known: Iterable[VmSpec]) -> list[VmSpec]:
    """VMs that have files here and no spec, as after a torn one was set aside."""
    folders = config.paths.disks.iterdir() if config.paths.disks.is_dir() else ()
    subjects = {path.name for path in folders if _is_uuid(path.name)}
    return [
        VmSpec(subject=subject, epoch=0, generation=0, present=False, domain=subject)
        for subject in sorted(subjects - {spec.subject for spec in known})
    ]


def _is_uuid(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False


def _remove_networks(config: HostConfig) -> None:
    store = networks.spec_store(config.paths)
    with closing(network_reconciler(config)) as reconciler:
        reconciler.remove_all()
    for spec in store.present() + store.absent():
        store.forget(spec.subject)


def _remove_files(config: HostConfig) -> None:
    """Only folders that are ours by name: the state folder may hold other things of the panel."""
    paths = config.paths
    for folder in (paths.specs, paths.outbox, paths.images, paths.disks):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in (paths.run / "vm-jobs", paths.run / "vms"):
        shutil.rmtree(folder, ignore_errors=True)
    for file in (paths.state / "accelerator.json", paths.state / "restored_boot"):
        file.unlink(missing_ok=True)
