"""Host names on a shared 80 and 443: what the proxy is told, and how to get there. Pure.

One HAProxy serves all names of a host. Its configuration depends on the public addresses alone;
names are lines of its maps, changed while it runs, so a change of a name disturbs no connection.
A line leads `public address/name` to `owner/number/address/port/how`: the owner is the bridge of
the network the name is of, the number that of the counters. The proxy connects where a map says and
nowhere else, and a name that no map has gets nothing: 404 on port 80, the alert unrecognized_name
(RFC 6066, section 3) on port 443.

TLS of a name with a certificate of its own is passed by the listener of port 443 to another one of
ours, by a socket of the public address, which ends it. Certificates are told to the running proxy
like lines; their files are named by owner, number and content, so that one never changes.

The file of a network says what its names were before the last change; it is written after
connections that had to end were ended, so whoever comes after a crash sees that they still have
to be. The text of the configuration is in `proxy_text`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from networks.host.sentences import count_of
from networks.host.spec import HostNameSpec, NetworkSpec

Table = Literal["http", "tls", "certificate"]
MAPS: tuple[Table, ...] = ("http", "tls")
TABLES: tuple[Table, ...] = (*MAPS, "certificate")
HTTP_PORT, TLS_PORT = 80, 443
PORTS = (HTTP_PORT, TLS_PORT)
CERTIFICATES = "certificates"
SEALED_FOR = "certificate of a host name"
PROXIED, TERMINATED, REENCRYPTED, REDIRECT = "proxied", "terminated", "reencrypted", "redirect"
_NAME = re.compile(r"(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9-]{2,63}")


@dataclass(frozen=True, slots=True, order=True)
class Route:
    """A line of a map, or which certificate a name has."""

    table: Table
    key: str
    value: str

    @property
    def public_address(self) -> str:
        return self.key.partition("/")[0]

    @property
    def name(self) -> str:
        return self.key.partition("/")[2]

    @property
    def owner(self) -> str:
        return self.value.partition("/")[0]

    @property
    def target(self) -> tuple[str, int] | None:
        """Address and port of the guest; None for a certificate."""
        if self.table == "certificate":
            return None
        _, _, address, port = self.value.split("/")[:4]
        return address, int(port)

    @property
    def pem(self) -> str:
        """The file of a certificate with its key, as the proxy knows it."""
        return f"{CERTIFICATES}/{self.value.replace('/', '.')}.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyState:
    """The proxy as one network sees it.

    `current` says that it runs with the configuration of this version for the addresses `bound`.
    `elsewhere` are public addresses that names of others need, `taken` those names of this network
    that others have. `written` is what the file of the network says, `live` what the proxy does,
    `stored` are the files of its certificates.
    """

    running: bool = False
    current: bool = False
    bound: frozenset[str] = frozenset()
    elsewhere: frozenset[str] = frozenset()
    taken: frozenset[str] = frozenset()
    written: frozenset[Route] = frozenset()
    live: frozenset[Route] = frozenset()
    stored: frozenset[str] = frozenset()


NO_PROXY = ProxyState()


@dataclass(frozen=True, slots=True)
class StoreCertificates:
    """Write certificates with their keys where only root reads them: file, sealed text."""

    files: frozenset[tuple[str, str]] = field(repr=False)

    @property
    def sentence(self) -> str:
        return f"Stored {count_of(len(self.files), 'certificate', 'certificates')}"


@dataclass(frozen=True, slots=True)
class ChangeNames:
    """Change what the running proxy does."""

    add: frozenset[Route]
    remove: frozenset[Route]

    @property
    def sentence(self) -> str:
        return _routed(self.add, self.remove)


@dataclass(frozen=True, slots=True)
class EndSessions:
    """End connections of the proxy to these addresses and ports of guests."""

    targets: frozenset[tuple[str, int]]

    @property
    def sentence(self) -> str:
        return "Ended connections of names that lead there no longer"


@dataclass(frozen=True, slots=True)
class WriteNames:
    """Write down the names of a network."""

    owner: str
    routes: frozenset[Route]

    @property
    def sentence(self) -> str:
        names = len({(route.public_address, route.name) for route in self.routes})
        return (
            f"Wrote down {count_of(names, 'host name', 'host names')}"
            if names
            else ("Forgot the host names of the network")
        )


@dataclass(frozen=True, slots=True)
class StartProxy:
    """Start the proxy for these public addresses, in place of the one that runs: that one hands
    over its sockets and ends with its last connection."""

    addresses: frozenset[str]

    @property
    def sentence(self) -> str:
        places = ", ".join(sorted(self.addresses))
        return f"Let the proxy of host names listen on ports 80 and 443 of {places}"


@dataclass(frozen=True, slots=True)
class StopProxy:
    """End the proxy: there are no names."""

    @property
    def sentence(self) -> str:
        return "Stopped the proxy of host names"


ProxyOp = StoreCertificates | ChangeNames | EndSessions | WriteNames | StartProxy | StopProxy


def is_name(text: str) -> bool:
    """Whether `text` can be a host name here: lower case, ASCII, perhaps for one wildcard label."""
    return len(text) <= 253 and _NAME.fullmatch(text) is not None


def covers(names: list[str], wanted: str) -> bool:
    """Whether a certificate of `names` serves `wanted` (RFC 6125, 6.4: a wildcard is one label)."""
    return wanted in names or f"*.{wanted.partition('.')[2]}" in names


def routes(spec: NetworkSpec) -> frozenset[Route]:
    """All lines the names of a network need."""
    if not spec.present:
        return frozenset()
    return lines(spec.bridge, spec.host_names)


def lines(owner: str, names: Iterable[HostNameSpec]) -> frozenset[Route]:
    """All lines these names of `owner` need."""
    return frozenset(route for name in names for route in _routes(owner, name))


def _routes(owner: str, name: HostNameSpec) -> Iterable[Route]:
    key = f"{name.public_address}/{name.name}"
    if name.redirect:
        yield Route("http", key, _value(owner, name, name.http_port, REDIRECT))
    elif name.http_port:
        yield Route("http", key, _value(owner, name, name.http_port))
    if name.tls == "passthrough":
        how = PROXIED if name.proxy_protocol else ""
        yield Route("tls", key, _value(owner, name, name.tls_port, how))
    if name.tls == "terminate":
        how = REENCRYPTED if name.reencrypt else TERMINATED
        yield Route("tls", key, _value(owner, name, name.tls_port, how))
        yield certificate_of(owner, name)


def _value(owner: str, name: HostNameSpec, port: int, how: str = "") -> str:
    return f"{owner}/{name.number}/{name.address}/{port}" + (f"/{how}" if how else "")


def certificate_of(owner: str, name: HostNameSpec) -> Route:
    """Which certificate a name has, as a line."""
    key = f"{name.public_address}/{name.name}"
    return Route("certificate", key, f"{owner}/{name.number}/{name.certificate}")


def sealed(spec: NetworkSpec) -> dict[str, str]:
    """The sealed certificates of a network by the names of their files."""
    return sealed_of(spec.bridge, spec.host_names) if spec.present else {}


def sealed_of(owner: str, names: Iterable[HostNameSpec]) -> dict[str, str]:
    """The sealed certificates of these names of `owner` by their files."""
    ended = (name for name in names if name.tls == "terminate")
    return {certificate_of(owner, name).pem: name.sealed_pem for name in ended}


def addresses(spec: NetworkSpec, state: ProxyState) -> frozenset[str]:
    """The public addresses whose ports 80 and 443 are the proxy's."""
    return frozenset(route.public_address for route in routes(spec)) | state.elsewhere


def proxy_plan(spec: NetworkSpec, state: ProxyState) -> Iterable[ProxyOp]:
    """What brings the proxy to the names of this network."""
    return names_plan(spec.bridge, routes(spec), sealed(spec), state)


def names_plan(
    owner: str, wanted: frozenset[Route], certificates: Mapping[str, str], state: ProxyState
) -> Iterator[ProxyOp]:
    """What brings the proxy to the lines and certificates of one owner."""
    missing = frozenset(each for each in certificates.items() if each[0] not in state.stored)
    if missing:
        yield StoreCertificates(missing)
    if state.running and wanted != state.live:
        yield ChangeNames(add=wanted - state.live, remove=state.live - wanted)
    gone = _targets(state.live | state.written) - _targets(wanted)
    if state.running and gone:
        yield EndSessions(gone)
    if state.written != wanted or state.stored - certificates.keys():
        yield WriteNames(owner, wanted)
    places = frozenset(route.public_address for route in wanted) | state.elsewhere
    if not places:
        if state.running:
            yield StopProxy()
    elif not state.current or places != state.bound:
        yield StartProxy(places)


def _targets(found: Iterable[Route]) -> frozenset[tuple[str, int]]:
    return frozenset(route.target for route in found if route.target is not None)


def _routed(add: Iterable[Route], remove: Iterable[Route]) -> str:
    led = sorted({_led(route) for route in add if route.target})
    gone = sorted({route.name for route in remove} - {route.name for route in add})
    if len(led) > 3:
        led = [f"{len(led)} host names"]
    if len(gone) > 3:
        gone = [f"{len(gone)} host names"]
    parts = [f"Led {', '.join(led)}"] if led else []
    parts += [f"{'closed' if led else 'Closed'} {', '.join(gone)}"] if gone else []
    return "; ".join(parts) or "Changed certificates of host names"


def _led(route: Route) -> str:
    address, port = route.target or ("", 0)
    if route.value.endswith(f"/{REDIRECT}"):
        return f"{route.name} from port 80 to 443"
    return f"{route.name} to {address}:{port}"
