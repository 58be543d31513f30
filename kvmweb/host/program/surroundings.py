"""The network around a host, as the facts tell it: without what is ours."""

from __future__ import annotations

from contextlib import closing

import msgspec

from kvmweb.core.names import BRIDGE_PREFIX, PORT_PREFIX
from kvmweb.host.config import HostConfig
from kvmweb.host.facts import Surroundings
from networks.host import survey
from networks.host.attachable import attachables
from networks.host.drivers import hostfacts
from networks.host.drivers.haproxy import proxy_of
from networks.host.drivers.hostfacts import Address
from networks.host.drivers.links import Links
from networks.host.findings import Finding
from networks.host.proxy import PORTS


def surroundings(config: HostConfig) -> Surroundings:
    """As it is now, in the network namespace of the calling thread."""
    shared = {(address, port) for address in proxy_of(config.paths).bound() for port in PORTS}
    return Surroundings(
        addresses=tuple(
            {"address": each.address, "prefix": each.prefix, "interface": each.interface}
            for each in (*hostfacts.addresses(), *hostfacts.addresses6())
            if not _is_ours(each.interface) and not _is_of_link(each)
        ),
        routes=_routes(),
        listeners=tuple(
            {"protocol": each.protocol, "address": each.address, "port": each.port}
            for each in sorted(
                hostfacts.listeners(), key=lambda one: (one.protocol, one.port, one.address)
            )
            if each.protocol != "tcp" or (each.address, each.port) not in shared
        ),
        uplinks=hostfacts.uplinks(),
        resolvers=hostfacts.resolvers(),
        attachables=_attachables(config),
        findings=tuple(map(_told, survey.found(config.paths, config.uplinks))),
    )


def _attachables(config: HostConfig) -> tuple[dict[str, str], ...]:
    with closing(Links()) as links:
        found = attachables(links.interfaces(), config.uplinks or hostfacts.uplinks())
        return tuple(msgspec.to_builtins(each) for each in found)


def _told(finding: Finding) -> dict[str, str]:
    """Without the commands: nobody but the host itself says what it runs."""
    told = ("id", "level", "found", "breaks", "remedy", "does")
    return {name: getattr(finding, name) for name in told}


def _routes() -> tuple[str, ...]:
    networks = {
        each.network
        for each in (*hostfacts.routes(), *hostfacts.routes6())
        if each.network.prefixlen and not _is_ours(each.interface)
    }
    return tuple(map(str, sorted(networks, key=lambda each: (each.version, each))))


def _is_of_link(address: Address) -> bool:
    return ":" in address.address and address.network.is_link_local


def _is_ours(interface: str) -> bool:
    return interface.startswith((BRIDGE_PREFIX, PORT_PREFIX))
