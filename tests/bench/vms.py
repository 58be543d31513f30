"""What measuring guests costs: on the host for each round, and in the panel to keep it.

libvirt asks one guest after the other, so the cost grows with their number: fewer than 500 real
ones are measured, and scaled. They are paused, which changes nothing about what is asked of them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import libvirt

from kvmweb.host.program.meter import MEMORY_EVERY
from kvmweb.metrics.rings import Rings
from kvmweb.metrics.series import VM
from tests.bench.measure import Figure, Goal
from tests.libvirtd import LibvirtHost, libvirt_host
from vms.host.drivers import stats
from vms.host.drivers.domains import Domains
from vms.host.measure import sample

GUESTS, MEASURED, ROUNDS = 500, 40, 8
SECONDS = 10
_TICKS = 1e9
_GUEST = """<domain type='qemu'><name>g{number}</name><memory unit='MiB'>16</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{disk}'/>
<target dev='vda' bus='virtio'/></disk>
<interface type='bridge'><source bridge='kw1'/><target dev='kt{number}'/><model type='virtio'/>
</interface></devices></domain>"""


def figures() -> Iterator[Figure]:
    with libvirt_host() as host:
        host.add_bridge("kw1")
        connection = libvirt.open(host.uri)
        _start(host, connection)
        ours, qemu = _rounds(host)
        connection.close()
    of = f"{GUESTS} guests, {MEASURED} measured and scaled"
    yield Figure(
        group="vms",
        name=f"metrics: a round, by the program and libvirtd ({of})",
        unit=f"% of a core at {SECONDS} s",
        ours=ours,
        goal=Goal(kind="median", limit=5),
    )
    yield Figure(
        group="vms",
        name=f"metrics: what the guests' own QEMUs need to answer ({of})",
        unit=f"% of a core at {SECONDS} s",
        ours=qemu,
    )
    yield Figure(
        group="vms",
        name=f"metrics: the panel keeps a round of {GUESTS} VMs",
        unit=f"% of a core at {SECONDS} s",
        ours=list(_kept()),
    )


def _start(host: LibvirtHost, connection: Any) -> None:
    flags = libvirt.VIR_DOMAIN_START_PAUSED | libvirt.VIR_DOMAIN_START_AUTODESTROY
    for number in range(MEASURED):
        disk = host.folder / f"{number}.img"
        disk.write_bytes(bytes(1 << 20))
        disk.chmod(0o666)
        connection.createXML(_GUEST.format(number=number, disk=disk), flags)


def _rounds(host: LibvirtHost) -> tuple[list[float], list[float]]:
    """Of three rounds each the share of a core, of us with libvirtd, and of the QEMUs."""
    domains = Domains(host.uri)
    before = stats.of_all(domains, lambda _: True)
    assert len(before) == MEASURED
    daemon = host.daemon.pid
    qemus = [pid for pid in host.pids() if _name(pid).startswith("qemu-system")]
    ours, theirs = [], []
    for _ in range(ROUNDS):
        own, libvirtd, qemu = time.process_time(), _spent([daemon or 0]), _spent(qemus)
        for number in range(MEMORY_EVERY):
            after = stats.of_all(domains, lambda _: True, memory=number == 0)
        assert all(sample(before[uuid], reading) for uuid, reading in after.items())
        ours.append(_share(time.process_time() - own + _spent([daemon or 0]) - libvirtd))
        theirs.append(_share(_spent(qemus) - qemu))
        before = after
    domains.close()
    return ours, theirs


def _share(seconds: float) -> float:
    return 100 * seconds / MEMORY_EVERY * GUESTS / MEASURED / SECONDS


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text()


def _spent(pids: list[int]) -> float:
    """Seconds of a processor that all threads of these have used, see proc(5)."""
    files = (file for pid in pids for file in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return sum(int(file.read_text().split()[0]) for file in files) / _TICKS


def _kept() -> Iterator[float]:
    """Three rounds come at once."""
    at_once = 3
    with tempfile.TemporaryDirectory() as folder:
        rings, first = Rings(Path(folder)), int(time.time() // SECONDS)
        for batch in range(ROUNDS):
            begin = time.process_time()
            for number in range(GUESTS):
                slots = range(first + batch * at_once, first + (batch + 1) * at_once)
                rings.put(VM, UUID(int=number), {slot: (1.0,) * len(VM.fields) for slot in slots})
            yield 100 * (time.process_time() - begin) / at_once / SECONDS
