"""The routers of networks that have one of their own: namespaces, their cables, and what is in
them. See `networks.host.own_router`."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from kvmweb.core import names
from kvmweb.host.files import write_durably
from networks.host.drivers import cables, hostfacts, namespaces
from networks.host.drivers.dhcp import Dhcp
from networks.host.drivers.firewall import complaint, refuse
from networks.host.drivers.links import Links
from networks.host.drivers.nftables import NftablesSocket
from networks.host.drivers.sysctls import Sysctls
from networks.host.own_router import (
    UPLINK,
    InnerLink,
    Inside,
    LayCable,
    RouterState,
    inside,
)
from networks.host.spec import NetworkSpec

R = TypeVar("R")

_NAMESPACE, _RULES, _DHCP = "net", "rules.json", "dnsmasq"


class Routers:
    """A folder for each, named like its bridge. `links` are those of the host."""

    def __init__(self, folder: Path, links: Links) -> None:
        self._folder = folder
        self._links = links

    def namespace(self, bridge: str) -> Path:
        """Where the namespace is."""
        return namespace_of(self._folder, bridge)

    def dhcp(self, bridge: str) -> Dhcp:
        """The DHCP server inside."""
        return dhcp_of(self._folder, bridge)

    def observe(self, spec: NetworkSpec) -> RouterState:
        """What is there of a network's router."""
        bridge = spec.bridge
        port = self._links.cable(names.router_port(bridge))
        link = self._links.cable(names.router_link(bridge))
        leftover = (self._folder / bridge).exists() or port is not None or link is not None
        if not namespaces.exists(self.namespace(bridge)):
            return RouterState(leftover=leftover)
        master = self._links.observe(bridge)
        ends, found, marks = self._within(bridge, lambda: _look(inside(spec)))
        return RouterState(
            there=True,
            leftover=True,
            port=port is not None and bridge in ends,
            port_mtu=port.mtu if port else 0,
            plugged=bool(port and port.up and master and port.master == master.index),
            link=link is not None and UPLINK in ends,
            link_mtu=link.mtu if link else 0,
            inside=found,
            rules=self._loaded(bridge, marks),
        )

    def make(self, bridge: str) -> None:
        """Make the namespace, in place of what is left of an earlier one."""
        self.dhcp(bridge).stop()
        self._cut(bridge)
        (self._folder / bridge).mkdir(parents=True, exist_ok=True)
        for folder in (self._folder, self._folder / bridge):
            folder.chmod(0o755)
        namespaces.remove(_kept(self._folder, bridge))
        namespaces.make(_kept(self._folder, bridge))

    def lay(self, cable: LayCable) -> None:
        """Connect the host and the namespace, in place of what is there."""
        self._links.delete(cable.outer)
        self._within(cable.bridge, lambda: _inner_links(lambda links: links.delete(cable.inner)))
        cables.lay(cable, self.namespace(cable.bridge))

    def load(self, bridge: str, text: str) -> None:
        """Load the rules of the namespace and note what they look like."""
        marks = self._within(bridge, lambda: _load(text))
        record = {"text": text, "marks": marks}
        write_durably(self._record(bridge), json.dumps(record).encode())

    def set_up(self, bridge: str, wanted: Inside) -> None:
        """Set what is inside; what is right stays as it is."""
        self._within(bridge, lambda: _set_up(wanted))

    def delete(self, bridge: str) -> None:
        """Take everything of a router away; none being there is success."""
        self.dhcp(bridge).stop()
        self._cut(bridge)
        namespaces.remove(_kept(self._folder, bridge))
        shutil.rmtree(self._folder / bridge, ignore_errors=True)

    def delete_all(self) -> None:
        """Take all of them away."""
        for bridge in routers(self._folder):
            self.delete(bridge)
        for link in self._links.all():
            if names.is_cable(link.name):
                self._links.delete(link.name)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _cut(self, bridge: str) -> None:
        for outer in (names.router_port(bridge), names.router_link(bridge)):
            self._links.delete(outer)

    def _record(self, bridge: str) -> Path:
        return self._folder / bridge / _RULES

    def _loaded(self, bridge: str, marks: object) -> str:
        """The text that was loaded last, if the rules are still those."""
        try:
            recorded = json.loads(self._record(bridge).read_bytes())
        except (FileNotFoundError, ValueError):
            return ""
        return str(recorded["text"]) if recorded["marks"] == marks else ""

    def _within(self, bridge: str, call: Callable[[], R]) -> R:
        return namespaces.within(self.namespace(bridge), call)


def namespace_of(folder: Path, bridge: str) -> Path:
    """Where the namespace of a network's router is. A process that has mounts of its own may not
    see its name, or have taken it along when it ended, but its DHCP server is in it."""
    kept = _kept(folder, bridge)
    if namespaces.exists(kept):
        return kept
    pid = Dhcp(folder / bridge / _DHCP).pid()
    return Path(f"/proc/{pid}/ns/net") if pid else kept


def _kept(folder: Path, bridge: str) -> Path:
    """The name that keeps it."""
    return folder / bridge / _NAMESPACE


def dhcp_of(folder: Path, bridge: str) -> Dhcp:
    """The DHCP server in a network's router."""
    return Dhcp(folder / bridge / _DHCP, namespace_of(folder, bridge))


def routers(folder: Path) -> list[str]:
    """The bridges of the networks that have one."""
    try:
        return sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return []


def _look(wanted: Inside) -> tuple[frozenset[str], Inside, object]:
    """The interfaces that are there, what is set, and what the rules look like."""
    sysctls = Sysctls(Path())
    macs = {link.name for link in wanted.links if link.mac}
    links = _inner_links(lambda links: links.all())
    settings = ((name, key, sysctls.read(name, key)) for name, key, _ in wanted.settings)
    found = Inside(
        links=frozenset(
            InnerLink(name=link.name, mtu=link.mtu, mac=link.mac if link.name in macs else "")
            for link in links
            if link.up
        ),
        addresses=frozenset(
            (each.interface, each.cidr) for each in hostfacts.addresses() if each.interface != "lo"
        ),
        routes=cables.routes(),
        settings=frozenset((name, key, value or "") for name, key, value in settings),
    )
    with closing(NftablesSocket()) as connection:
        return frozenset(link.name for link in links), found, _digest(connection.marks())


def _digest(marks: object) -> str:
    return hashlib.sha256(json.dumps(marks).encode()).hexdigest()


def _load(text: str) -> str:
    refuse(complaint(text))
    with closing(NftablesSocket()) as connection:
        return _digest(connection.marks())


def _set_up(wanted: Inside) -> None:
    sysctls = Sysctls(Path())
    for name, key, value in sorted(wanted.settings):
        sysctls.write(name, key, value)
    _inner_links(lambda links: _set_links(links, wanted))
    cables.set_routes(wanted.routes)


def _set_links(links: Links, wanted: Inside) -> None:
    for link in sorted(wanted.links, key=lambda link: link.name):
        links.set_up(link.name, link.mtu, link.mac)
    there = {(a.interface, a.cidr) for a in hostfacts.addresses() if a.interface != "lo"}
    for interface, address in there - wanted.addresses:
        links.remove_address(interface, address)
    for interface, address in wanted.addresses - there:
        links.add_address(interface, address)


def _inner_links(call: Callable[[Links], R]) -> R:
    with closing(Links()) as links:
        return call(links)
