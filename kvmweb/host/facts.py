"""What the panel wants to know about a host before it plans anything there; for the monitor.

Nothing here waits: what libvirt, the accelerator's trial and the kernel's networking have to say is
handed in.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import kvmweb
from kvmweb.host.config import HostConfig

Accelerator = Literal["kvm", "tcg"]
_GIB = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypervisor:
    """What libvirt says of itself; None while it does not answer. Versions as in "9.0.0".

    `networks` are {name, subnet} of its own networks, those that do not run as well.
    """

    libvirt_version: str | None = None
    qemu_version: str | None = None
    accelerator: Accelerator | None = None
    accelerator_reason: str = ""
    networks: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the network of the host is like, apart from what is ours.

    `addresses` are {address, prefix, interface}, `listeners` {protocol, address, port}, `routes` in
    CIDR notation without the default ones, `uplinks` the interfaces of the default routes.
    `attachables` are what guests could be put on directly: {interface, kind, refused}.
    `findings` are what is, or may be, in the way of networks, the worst first: {id, level, found,
    breaks, remedy, does}.
    """

    addresses: tuple[dict[str, object], ...] = ()
    routes: tuple[str, ...] = ()
    listeners: tuple[dict[str, object], ...] = ()
    uplinks: tuple[str, ...] = ()
    resolvers: tuple[str, ...] = ()
    attachables: tuple[dict[str, str], ...] = ()
    findings: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """One host as the panel knows it; the fields of `Hypervisor` and `Surroundings` are theirs.

    `disk_*` is the file system that holds the disks. `ephemeral_ports` has both ends included.
    """

    cpus: int
    memory_mib: int
    memory_available_mib: int
    disk_total_gib: float
    disk_free_gib: float
    kernel: str
    accelerator: Accelerator | None
    accelerator_reason: str
    libvirt_version: str | None
    qemu_version: str | None
    libvirt_networks: tuple[dict[str, str], ...]
    addresses: tuple[dict[str, object], ...]
    routes: tuple[str, ...]
    listeners: tuple[dict[str, object], ...]
    uplinks: tuple[str, ...]
    resolvers: tuple[str, ...]
    attachables: tuple[dict[str, str], ...]
    findings: tuple[dict[str, str], ...]
    ephemeral_ports: tuple[int, int]
    version: str


def gather(config: HostConfig, hypervisor: Hypervisor, surroundings: Surroundings) -> HostFacts:
    """The facts as they are now, in the network namespace of the caller."""
    memory = _meminfo()
    total, free = _disk(config.paths.disks)
    return HostFacts(
        cpus=os.cpu_count() or 1,
        memory_mib=memory["MemTotal"] // 1024,
        memory_available_mib=memory["MemAvailable"] // 1024,
        disk_total_gib=total,
        disk_free_gib=free,
        kernel=os.uname().release,
        accelerator=hypervisor.accelerator,
        accelerator_reason=hypervisor.accelerator_reason,
        libvirt_version=hypervisor.libvirt_version,
        qemu_version=hypervisor.qemu_version,
        libvirt_networks=hypervisor.networks,
        addresses=surroundings.addresses,
        routes=surroundings.routes,
        listeners=surroundings.listeners,
        uplinks=config.uplinks or surroundings.uplinks,
        resolvers=surroundings.resolvers,
        attachables=surroundings.attachables,
        findings=surroundings.findings,
        ephemeral_ports=_ephemeral_ports(),
        version=kvmweb.__version__,
    )


def version_text(number: int) -> str:
    """libvirt's 1000000 * major + 1000 * minor + release as "major.minor.release"."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


def _meminfo() -> dict[str, int]:
    """KiB by name, proc_meminfo(5)."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}


def _disk(folder: Path) -> tuple[float, float]:
    """Total and free GiB of the file system that holds `folder`, or will."""
    while not folder.exists():
        folder = folder.parent
    stat = os.statvfs(folder)
    unit = stat.f_frsize / _GIB
    return round(stat.f_blocks * unit, 1), round(stat.f_bavail * unit, 1)


def _ephemeral_ports() -> tuple[int, int]:
    low, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    return int(low), int(high)
