"""Looking at a host for what `findings` judges. Reads only, in the namespace of the caller."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from kvmweb.core.names import BRIDGE_PREFIX
from kvmweb.host.config import HostPaths
from networks.host.drivers import foreign, hostfacts
from networks.host.drivers.dhcp import Dhcp
from networks.host.drivers.links import Links
from networks.host.drivers.nftables import OWNER, NftablesSocket
from networks.host.drivers.sysctls import Sysctls
from networks.host.findings import Conntrack, Finding, Survey, findings
from networks.host.firewalls import Obstacle, obstacles
from networks.host.ruleset import TOO_MANY

_CONF = Path("/etc/nftables.conf")
_UNITS = Path("/etc/systemd/system")
_FLUSH = re.compile(r"^\s*flush\s+ruleset\b", re.MULTILINE)
_NET = Path("/proc/sys/net")
_STATISTICS = Path("/proc/thread-self/net/stat/nf_conntrack")
_DHCP_PORT = f"{67:04X}"
_LIBVIRT = "virbr"


def found(paths: HostPaths, uplinks: tuple[str, ...] = ()) -> tuple[Finding, ...]:
    """What stands in the way of networks here now."""
    return findings(look(paths, uplinks))


def firewalls() -> list[Obstacle]:
    """Other firewalls that are in the way here now."""
    forward, _ = foreign.base_chains("forward")
    incoming, _ = foreign.base_chains("input")
    return list(obstacles(forward, incoming, hostfacts.uplinks()))


def look(paths: HostPaths, uplinks: tuple[str, ...] = ()) -> Survey:
    """Everything that is judged. `uplinks` none means those of the default routes."""
    forward, unread = foreign.base_chains("forward")
    incoming, _ = foreign.base_chains("input")
    names = uplinks or hostfacts.uplinks()
    dhcp, sysctls = Dhcp(paths.run / "dnsmasq"), Sysctls(paths.run / "forwarding.json")
    with closing(Links()) as links:
        bridges = [each for each in links.bridges("") if not each.startswith(BRIDGE_PREFIX)]
    return Survey(
        uplinks=names,
        forward=tuple(forward),
        incoming=tuple(incoming),
        unread=tuple(unread),
        flushes=flushing(),
        owned=_is_owned(),
        libvirt=tuple(_libvirt()),
        filters_bridged=sysctls.filters_bridged(),
        foreign_bridges=tuple(b for b in bridges if not b.startswith(_LIBVIRT)),
        router=sysctls.is_router(),
        rp_filter={name: _reverse_path(sysctls, name) for name in names},
        conntrack=_conntrack(),
        dhcp=tuple(_dhcp_servers(dhcp.pid())),
        served=dhcp.pid() is not None,
        limited=_limited(),
        dnsmasqs=_dnsmasqs(),
        inotify_instances=_number(Path("/proc/sys/fs/inotify/max_user_instances")),
    )


def flushing(conf: Path = _CONF, units: Path = _UNITS) -> str:
    """The file of the nftables service, if that is enabled and the file flushes."""
    enabled = any(units.glob("*.wants/nftables.service"))
    try:
        flushes = enabled and _FLUSH.search(conf.read_text(errors="replace"))
    except OSError:
        return ""
    return str(conf) if flushes else ""


def _is_owned() -> bool:
    with closing(NftablesSocket()) as connection:
        return bool((connection.table_flags("inet") or 0) & OWNER)


def _limited() -> int:
    with closing(NftablesSocket()) as connection:
        return connection.counter(TOO_MANY)


def _libvirt() -> Iterator[str]:
    for address in hostfacts.addresses():
        if address.interface.startswith(_LIBVIRT):
            yield f"{address.network} on {address.interface}"


def _reverse_path(sysctls: Sysctls, interface: str) -> int:
    """The larger of the two counts (networking/ip-sysctl in the kernel's documentation)."""
    values = (sysctls.read(name, "ipv4/rp_filter") for name in ("all", interface))
    return max(int(value or 0) for value in values)


def _conntrack() -> Conntrack | None:
    folder = _NET / "netfilter"
    most = _number(folder / "nf_conntrack_max")
    if not most:
        return None
    return Conntrack(
        count=_number(folder / "nf_conntrack_count"), most=most, refused=_refused_connections()
    )


def _refused_connections() -> int:
    """A line for each processor, hexadecimal, under the names of the columns."""
    try:
        names, *lines = (line.split() for line in _STATISTICS.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    column = names.index("drop") if "drop" in names else -1
    return sum(int(line[column], 16) for line in lines) if column >= 0 else 0


def _dhcp_servers(ours: int | None) -> Iterator[str]:
    """Programs other than ours and libvirt's that hold UDP port 67 of all addresses."""
    inodes = set(_dhcp_sockets())
    if ours is not None and inodes:
        inodes -= set(_sockets_of(Path(f"/proc/{ours}")))
    if not inodes:
        return
    for process in Path("/proc").glob("[0-9]*"):
        if not inodes.isdisjoint(_sockets_of(process)) and not _is_libvirts(process):
            yield _read(process / "comm") or "of an unknown name"


def _dhcp_sockets() -> Iterator[str]:
    for line in _read(Path("/proc/thread-self/net/udp")).splitlines()[1:]:
        words = line.split()
        address, port = words[1].split(":")
        if port == _DHCP_PORT and int(address, 16) == 0:
            yield words[9]


def _sockets_of(process: Path) -> Iterator[str]:
    try:
        for entry in (process / "fd").iterdir():
            target = str(entry.readlink())
            if target.startswith("socket:["):
                yield target[8:-1]
    except OSError:  # it has ended, or is not ours to look into
        return


def _is_libvirts(process: Path) -> bool:
    """Each of those is bound to the bridge of its own network."""
    return "/libvirt/dnsmasq/" in _read(process / "cmdline")


def _dnsmasqs() -> int:
    return sum(_read(file) == "dnsmasq" for file in Path("/proc").glob("[0-9]*/comm"))


def _number(file: Path) -> int:
    text = _read(file)
    return int(text) if text.isdigit() else 0


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""
