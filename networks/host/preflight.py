"""What speaks against a network on this host, judged before anything is changed. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from kvmweb.core.errors import HostError
from kvmweb.core.names import BRIDGE_PREFIX, PORT_PREFIX
from networks.host.contents import doors
from networks.host.drivers.hostfacts import Address, Listener, Route, span
from networks.host.elements import DOORS
from networks.host.spec import ForwardSpec, NetworkSpec
from networks.host.state import NetworkState

_DEFAULT_PREFIX = 1  # VPNs replace the default route by 0.0.0.0/1 and 128.0.0.0/1
_BRIDGE = re.compile(rf"{BRIDGE_PREFIX}[0-9a-z]{{1,12}}")
_ATTACH = re.compile(r"[^\s/:,]{1,15}")
_PORT = re.compile(rf"{PORT_PREFIX}[0-9a-z]{{1,12}}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.IGNORECASE)
_HOSTNAME = re.compile(r"[0-9a-z]([0-9a-z-]{0,61}[0-9a-z])?", re.IGNORECASE)
NAMES = "names"
_EVERY, _EVERY6 = "0.0.0.0", "::"  # noqa: S104


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one forward or reservation is left out while the rest of its network goes on."""

    code: str
    reason: str


def check_form(spec: NetworkSpec) -> None:
    """Raise `HostError` for names that could mean anything but an interface or a host: they go into
    file names and into files of dnsmasq."""
    wrong = [] if _BRIDGE.fullmatch(spec.bridge) else [spec.bridge]
    for reservation in spec.reservations:
        if reservation.port and not _PORT.fullmatch(reservation.port):
            wrong.append(reservation.port)
        if not _MAC.fullmatch(reservation.mac):
            wrong.append(reservation.mac)
        if reservation.hostname and not _HOSTNAME.fullmatch(reservation.hostname):
            wrong.append(reservation.hostname)
    if spec.mode == "bridged" and spec.present and not is_foreign(spec.attach):
        wrong.append(spec.attach)
    labels = spec.names.domain.split(".") if spec.names is not None else []
    wrong += [label for label in labels if not _HOSTNAME.fullmatch(label)]
    if wrong:
        raise HostError(f"The network cannot have the name {wrong[0]!r}.", code="bad_spec")


def is_foreign(interface: str) -> bool:
    """Whether this is the name of an interface that is not ours."""
    ours = interface.startswith((BRIDGE_PREFIX, PORT_PREFIX))
    return _ATTACH.fullmatch(interface) is not None and not ours and interface not in {".", ".."}


def check_subnet(
    spec: NetworkSpec,
    addresses: Iterable[Address],
    routes: Iterable[Route],
    resolvers: Iterable[str],
) -> None:
    """Raise `HostError` if the subnet would hide something the host reaches another way."""
    subnet = IPv4Network(spec.subnet)
    taken: list[Address | Route] = list(addresses)
    taken += [route for route in routes if route.prefix > _DEFAULT_PREFIX]
    version, first, last = span(subnet)
    for each in taken:
        kind, low, high = each.span
        if kind == version and low <= last and first <= high and each.interface != spec.bridge:
            way = f"{each.network}, which the host reaches through {each.interface}"
            raise _overlap(spec.subnet, way)
    for resolver in resolvers:
        if IPv4Address(resolver) in subnet:
            raise _overlap(spec.subnet, f"the name server {resolver} of the host")


def check_subnet6(spec: NetworkSpec, addresses: Iterable[Address], routes: Iterable[Route]) -> None:
    """The same for the IPv6 prefix. One that is routed to the host may be a part of what the host
    knows by a wider route."""
    subnet = IPv6Network(spec.subnet6)
    taken = [(address.network, address.interface) for address in addresses]
    taken += [(route.network, route.interface) for route in routes if route.network.prefixlen > 1]
    for network, interface in taken:
        wider = spec.ipv6 == "routed" and network.prefixlen < subnet.prefixlen
        if interface != spec.bridge and network.overlaps(subnet) and not wider:
            raise _overlap(
                spec.subnet6,
                f"{network}, which the host reaches through {interface}",
                field="ipv6_subnet",
            )


def ports_in_use(
    spec: NetworkSpec,
    state: NetworkState,
    addresses: Iterable[Address],
    listeners: Collection[Listener],
) -> dict[str, Refusal]:
    """The new forwards whose public port the host itself listens on, with the reason."""
    own = {address.address for address in addresses}
    there = {(e.name, e.key) for e in state.elements if e.name in DOORS}
    found = {}
    for forward in spec.forwards:
        if all((door.name, door.key) in there for door in doors(forward)):
            continue
        if listener := hidden_by(forward, own, listeners):
            found[forward.id] = Refusal(
                "port_in_use",
                f"The host itself listens on {listener.protocol} port {listener.port}"
                f" of {forward.public_address}. Choose another port or stop that service.",
            )
    return found


def names_port_in_use(spec: NetworkSpec, listeners: Collection[Listener]) -> dict[str, Refusal]:
    """Whether a service of the host has port 53 of all its addresses, those of networks included,
    so that nobody else can answer guests there (bind(2), EADDRINUSE)."""
    taken = any(Listener(protocol, _EVERY, 53) in listeners for protocol in ("udp", "tcp"))
    if spec.names is None or not taken:
        return {}
    reason = (
        "The host itself listens on port 53 of all its addresses, so names of guests are not"
        " resolved. Let that service listen on addresses of its own, or stop it."
    )
    return {NAMES: Refusal("names_port_in_use", reason)}


def without(spec: NetworkSpec, ids: Collection[str]) -> NetworkSpec:
    """The network without some of its forwards, reservations' ports and services."""
    if not ids:
        return spec
    return replace(
        spec,
        names=None if NAMES in ids else spec.names,
        forwards=tuple(forward for forward in spec.forwards if forward.id not in ids),
        host_names=tuple(name for name in spec.host_names if name.id not in ids),
        reservations=tuple(
            replace(reservation, port="") if reservation.id in ids else reservation
            for reservation in spec.reservations
        ),
    )


def hidden_by(
    forward: ForwardSpec, own: set[str], listeners: Collection[Listener]
) -> Listener | None:
    """A service of the host that the forward would hide. What listens everywhere is not hidden by
    1:1 NAT of one more address, which takes that address from the host anyway."""
    whole = forward.protocol == "all"
    every = _EVERY6 if ":" in forward.public_address else _EVERY
    everywhere = {every} if forward.public_address in own and not whole else set()
    places = {forward.public_address} | everywhere
    ports = range(forward.public_port, forward.public_port + forward.ports)
    found = (
        listener
        for listener in listeners
        if listener.address in places
        and (whole or (listener.protocol == forward.protocol and listener.port in ports))
    )
    return min(found, default=None, key=lambda listener: (listener.port, listener.protocol))


def _overlap(subnet: str, what: str, field: str = "ipv4_subnet") -> HostError:
    return HostError(
        f"The subnet {subnet} overlaps {what}.",
        field=field,
        code="subnet_overlaps_route",
        remedy="Choose a subnet that the host does not use, or remove that route from the host.",
    )
