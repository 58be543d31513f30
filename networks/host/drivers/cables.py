"""What makes a namespace a router, by pyroute2: the cables into it and the routes inside.

This is done when a router is made or mended, so a millisecond for each message matters little here;
where it does, `links` speaks rtnetlink itself.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute, NetlinkError
from pyroute2.netlink.rtnl import rt_proto, rt_scope, rt_type

from kvmweb.core.errors import HostError
from networks.host.own_router import InnerRoute, LayCable

_MAIN = 254
_GONE = frozenset({errno.ESRCH, errno.ENODEV})
_ANYWHERE = "0.0.0.0/0"


def lay(cable: LayCable, namespace: Path) -> None:
    """Make a pair of interfaces (veth(4)), the inner one in the namespace."""
    inner: dict[str, Any] = {"ifname": cable.inner}
    if cable.mac:
        inner["address"] = cable.mac
    with namespace.open() as there, IPRoute() as here:
        try:
            here.link(
                "add", ifname=cable.outer, kind="veth", peer={**inner, "net_ns_fd": there.fileno()}
            )
        except NetlinkError as error:
            raise _refused(f"{cable.outer} cannot be made", error) from error


def routes() -> frozenset[InnerRoute]:
    """Those of IPv4 in the main table of this namespace that do not follow from an address."""
    with IPRoute() as here:
        names = {link["index"]: link.get("ifname") for link in here.get_links()}
        found = here.get_routes(family=2, table=_MAIN)
        return frozenset(_read(found, names))


def set_routes(wanted: frozenset[InnerRoute]) -> None:
    """Have these and no others; what is there stays as it is."""
    there = routes()
    with IPRoute() as here:
        index = {link.get("ifname"): link["index"] for link in here.get_links()}
        for route in _in_order(there - wanted):
            try:
                here.route("del", **_written(route, index))
            except NetlinkError as error:
                if error.code not in _GONE:
                    raise _refused(f"The route to {route.destination} stays", error) from error
        for route in _in_order(wanted - there):
            try:
                here.route("replace", **_written(route, index))
            except NetlinkError as error:
                raise _refused(f"There is no way to {route.destination}", error) from error


def _in_order(routes: Iterable[InnerRoute]) -> list[InnerRoute]:
    """A gateway has to be reached before it can be one."""
    return sorted(routes, key=lambda route: (bool(route.gateway), route.destination))


def _read(found: Iterable[Any], names: dict[int, str]) -> Iterator[InnerRoute]:
    for route in found:
        interface = names.get(route.get("oif"))
        if interface is None or route["proto"] == rt_proto["kernel"]:
            continue
        destination = route.get("dst")
        yield InnerRoute(
            destination=f"{destination}/{route['dst_len']}" if destination else _ANYWHERE,
            interface=interface,
            gateway=route.get("gateway") or "",
            local=route["type"] == rt_type["local"],
        )


def _written(route: InnerRoute, index: dict[str, int]) -> dict[str, Any]:
    scope = "universe" if route.gateway else "host" if route.local else "link"
    written = {
        "dst": route.destination,
        "oif": index[route.interface],
        "table": _MAIN,
        "proto": rt_proto["boot"],
        "type": rt_type["local" if route.local else "unicast"],
        "scope": rt_scope[scope],
    }
    return {**written, "gateway": route.gateway} if route.gateway else written


def _refused(what: str, error: NetlinkError) -> HostError:
    return HostError(f"{what}: {error}.", code="link_refused")
