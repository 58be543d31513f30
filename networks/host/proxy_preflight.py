"""What speaks against host names on this host, judged before anything is changed. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from ipaddress import ip_address
from types import MappingProxyType

from kvmweb.core.errors import HostError
from networks.host.drivers.hostfacts import Address, Listener
from networks.host.preflight import Refusal
from networks.host.proxy import PORTS, ProxyState, is_name
from networks.host.spec import HostNameSpec

_DIGEST = re.compile(r"[0-9a-f]{0,64}")
_NONE: Mapping[str, str] = MappingProxyType({})
_EVERY, _EVERY6 = "0.0.0.0", "::"  # noqa: S104


def check_names(names: Iterable[HostNameSpec]) -> None:
    """Raise `HostError` for what could mean anything but a name, an address and a port: it goes
    into the proxy's maps and commands."""
    for name in names:
        if not is_name(name.name):
            raise HostError(f"{name.name!r} is no host name.", code="bad_spec")
        for address in (name.public_address, name.address):
            if str(ip_address(address)) != address:
                raise HostError(f"{address!r} is no address.", code="bad_spec")
        if not _DIGEST.fullmatch(name.certificate):
            raise HostError(f"{name.certificate!r} names no certificate.", code="bad_spec")
        if not all(0 <= port <= 65535 for port in (name.http_port, name.tls_port)):
            raise HostError(f"A port of {name.name} is no port.", code="bad_spec")


def names_in_the_way(
    names: Iterable[HostNameSpec],
    state: ProxyState,
    addresses: Iterable[Address],
    listeners: Collection[Listener],
    *,
    installed: bool,
    unusable: Mapping[str, str] = _NONE,
) -> dict[str, Refusal]:
    """Those that cannot be served here, each with the reason; the others go on. `unusable` says
    what is wrong with the certificate of a name."""
    own = {address.address for address in addresses}
    found = {
        name.id: next(_reasons(name, state, own, listeners, installed=installed), None)
        for name in names
    }
    found |= {
        of: found[of] or Refusal("certificate_unusable", reason) for of, reason in unusable.items()
    }
    return {of: refusal for of, refusal in found.items() if refusal is not None}


def _reasons(
    name: HostNameSpec,
    state: ProxyState,
    own: Collection[str],
    listeners: Collection[Listener],
    *,
    installed: bool,
) -> Iterator[Refusal]:
    public = name.public_address
    if not installed:
        yield Refusal(
            "proxy_missing",
            "The program haproxy is not installed on the host. Install the package haproxy.",
        )
    if f"{public}/{name.name}" in state.taken:
        yield Refusal("name_taken", f"Another network of this host serves {name.name} there.")
    if public not in own:
        yield Refusal(
            "no_such_address",
            f"{public} is no address of an interface of the host, so nothing can listen there.",
        )
    taken = [port for port in PORTS if _is_heard(public, port, listeners)]
    if taken and public not in state.bound:
        yield Refusal(
            "port_in_use",
            f"The host itself listens on port {taken[0]} of {public}. Stop that service, or let"
            " it listen on another address.",
        )


def _is_heard(public: str, port: int, listeners: Collection[Listener]) -> bool:
    every = _EVERY6 if ":" in public else _EVERY
    return any(Listener("tcp", place, port) in listeners for place in (public, every))
