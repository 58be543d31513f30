"""The network around a host, as the facts tell it: without what is ours."""

from __future__ import annotations

from kvmweb.core.names import BRIDGE_PREFIX, PORT_PREFIX
from kvmweb.host.facts import Surroundings
from networks.host.drivers import hostfacts


def surroundings() -> Surroundings:
    """As it is now, in the network namespace of the calling thread."""
    return Surroundings(
        addresses=tuple(
            {"address": each.address, "prefix": each.prefix, "interface": each.interface}
            for each in hostfacts.addresses()
            if not _is_ours(each.interface)
        ),
        routes=_routes(),
        listeners=tuple(
            {"protocol": each.protocol, "address": each.address, "port": each.port}
            for each in sorted(
                hostfacts.listeners(), key=lambda one: (one.protocol, one.port, one.address)
            )
        ),
        uplinks=hostfacts.uplinks(),
        resolvers=hostfacts.resolvers(),
    )


def _routes() -> tuple[str, ...]:
    networks = {
        each.network
        for each in hostfacts.routes()
        if each.network.prefixlen and not _is_ours(each.interface)
    }
    return tuple(str(network) for network in sorted(networks))


def _is_ours(interface: str) -> bool:
    return interface.startswith((BRIDGE_PREFIX, PORT_PREFIX))
