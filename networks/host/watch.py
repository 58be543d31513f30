"""Notice what others break, and have it repaired at once.

Notifications say when to look, never what is wrong: that is the plan's to find. nftables tells of
every transaction and who made it, rtnetlink of links, addresses, default routes and forwarding, a
pidfd of the end of dnsmasq, the name server or the proxy. What tells of nothing (a file of these,
the host's resolvers) is found by a look at everything once a minute.
"""

from __future__ import annotations

import errno
import logging
import os
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kvmweb.core.names import BRIDGE_PREFIX, PORT_PREFIX
from networks.host.drivers import hostfacts, namespaces
from networks.host.drivers.netlink import (
    NETLINK_NETFILTER,
    NETLINK_ROUTE,
    Message,
    NetlinkSocket,
    attributes,
)
from networks.host.reconcile import Drift, NetworkReconciler

log = logging.getLogger(__name__)

OnDrift = Callable[[Drift], None]
OnLook = Callable[[frozenset[str]], None]

_NFTABLES_GROUP = 1 << 6
_ROUTE_GROUPS = 1 << 0  # links; then addresses, routes and netconf of IPv4 and of IPv6
_ROUTE_GROUPS |= 1 << 4 | 1 << 6 | 1 << 23 | 1 << 8 | 1 << 10 | 1 << 24
_NEWGEN = 10 << 8 | 15
_GENERATION_PID = 2
_LINKS, _ADDRESSES, _ROUTES, _NETCONF = {16, 17}, {20, 21}, {24, 25}, {80, 81}
_IFNAME, _NETCONF_INDEX = 3, 1
_QUIET_SECONDS = 0.02
_CALM_SECONDS = 1.0
_LOOK_SECONDS = 60.0
_AFTER_DRIFT_SECONDS = 0.5
_AFTER_FAILURE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Concern:
    """Which networks to look at, by their interfaces; `everything` is all of them. `urgent` is
    what may have taken the rules away: until they are back, guests are cut off or open."""

    names: frozenset[str] = frozenset()
    everything: bool = False
    urgent: bool = False

    def __or__(self, other: Concern) -> Concern:
        return Concern(
            self.names | other.names,
            self.everything or other.everything,
            self.urgent or other.urgent,
        )

    def __bool__(self) -> bool:
        return bool(self.names) or self.everything


@dataclass(frozen=True, slots=True)
class _Inside:
    """How a network's own router is listened to; `identity` tells it from one made later."""

    identity: int
    sockets: tuple[NetlinkSocket, NetlinkSocket]


def _heard(namespace: Path) -> _Inside | None:
    """A router to listen to; None where there is none, or no longer."""
    try:
        identity = namespace.stat().st_ino
        return _Inside(identity, namespaces.within(namespace, _listening))
    except OSError:
        return None


def _listening() -> tuple[NetlinkSocket, NetlinkSocket]:
    return (
        NetlinkSocket(NETLINK_NETFILTER, _NFTABLES_GROUP),
        NetlinkSocket(NETLINK_ROUTE, _ROUTE_GROUPS),
    )


def _identity(namespace: Path) -> int | None:
    try:
        return namespace.stat().st_ino
    except OSError:
        return None


_NOBODY = Concern()
_ALL = Concern(everything=True)
_FIREWALL = Concern(everything=True, urgent=True)


class Watcher:
    """A thread that listens in the namespace it was started from and submits repairs.

    `on_drift` is called on that thread, with what was missing and whether it was put back, and
    `on_look` after a look at everything, with the networks that were not as they should be. Close
    the watcher before the reconciler.
    """

    def __init__(
        self, reconciler: NetworkReconciler, on_drift: OnDrift, on_look: OnLook = lambda _: None
    ) -> None:
        self._reconciler = reconciler
        self._on_drift = on_drift
        self._on_look = on_look
        self._thread = threading.Thread(target=self._watch, name="network-watch", daemon=True)
        self._stop, self._stopped = socket.socketpair()
        self._nftables = NetlinkSocket(NETLINK_NETFILTER, _NFTABLES_GROUP)
        self._route = NetlinkSocket(NETLINK_ROUTE, _ROUTE_GROUPS)
        self._selector = selectors.DefaultSelector()
        self._servers: dict[str, tuple[int, int]] = {}
        self._routers: dict[str, _Inside] = {}
        self._look = time.monotonic() + _LOOK_SECONDS
        self._urgent = 0.0

    def start(self) -> None:
        """Begin to watch."""
        self._selector.register(self._stopped, selectors.EVENT_READ, None)
        self._selector.register(self._nftables, selectors.EVENT_READ, self._read_nftables)
        self._selector.register(self._route, selectors.EVENT_READ, self._read_route)
        self._thread.start()

    def close(self) -> None:
        """Stop watching; a repair under way is finished."""
        self._stop.close()
        self._thread.join()
        for name in list(self._servers):
            self._forget_server(name)
        for bridge in list(self._routers):
            self._forget_router(bridge)
        for each in (self._selector, self._nftables, self._route, self._stopped):
            each.close()

    def _watch(self) -> None:
        """Whatever happens, watching goes on: a network nobody watches looks like a good one."""
        while True:
            try:
                going_on = self._turn()
            except Exception:
                log.exception("watch_crashed")
                going_on = not self._stopped_within(_AFTER_FAILURE_SECONDS)
            if not going_on:
                return

    def _turn(self) -> bool:
        """Wait for news and see to them; False means stop."""
        self._follow_routers()
        if not self._follow_servers():
            concern: Concern | None = _ALL  # it ended before its end could be waited for
        else:
            concern = self._wait(max(0.0, self._look - time.monotonic()))
        if concern is None:
            return False
        if time.monotonic() >= self._look:
            concern = _ALL
        if concern.everything:
            self._look = time.monotonic() + _LOOK_SECONDS
        return not (concern and self._stopped_within(self._repair(concern)))

    def _wait(self, timeout: float) -> Concern | None:
        """What the next events concern, collected until it is quiet; None means stop. The first
        urgent one after a calm second is not kept waiting."""
        concern = _NOBODY
        while events := self._selector.select(_QUIET_SECONDS if concern else timeout):
            for key, _ in events:
                if key.data is None:
                    return None
                concern |= key.data()
            if not concern or (concern.urgent and self._is_calm()):
                return concern
        return concern

    def _is_calm(self) -> bool:
        """Whether the last urgent look was a while ago; one is taken now."""
        before, self._urgent = self._urgent, time.monotonic()
        return self._urgent - before > _CALM_SECONDS

    def _repair(self, concern: Concern) -> float:
        """Repair; returns how many seconds to leave everything alone, lest two programs that
        undo each other's work do nothing else."""
        found = self._reconciler.repair(None if concern.everything else concern.names)
        for drift in found:
            log.warning("drift subject=%s repaired=%s", drift.subject, drift.repaired)
            self._on_drift(drift)
        if concern.everything:
            self._on_look(frozenset(drift.subject for drift in found))
        if not found:
            return 0.0
        failed = any(not drift.repaired and not drift.only_told for drift in found)
        return _AFTER_FAILURE_SECONDS if failed else _AFTER_DRIFT_SECONDS

    def _stopped_within(self, seconds: float) -> bool:
        """Leave everything alone for a while; whether it was time to stop meanwhile."""
        with selectors.DefaultSelector() as alone:
            alone.register(self._stopped, selectors.EVENT_READ)
            return bool(seconds and alone.select(seconds))

    def _follow_routers(self) -> None:
        """Listen in the routers that there are now; whatever happens there concerns its network."""
        wanted = self._reconciler.namespaces()
        for bridge, inside in list(self._routers.items()):
            if wanted.get(bridge) is None or _identity(wanted[bridge]) != inside.identity:
                self._forget_router(bridge)
        for bridge in wanted.keys() - self._routers.keys():
            if (found := _heard(wanted[bridge])) is None:
                continue
            self._routers[bridge] = found
            for each in found.sockets:
                heard = partial(self._read_inside, bridge, each)
                self._selector.register(each, selectors.EVENT_READ, heard)

    def _forget_router(self, bridge: str) -> None:
        for each in self._routers.pop(bridge).sockets:
            self._selector.unregister(each)
            each.close()

    def _read_inside(self, bridge: str, connection: NetlinkSocket) -> Concern:
        list(_received(connection))
        return Concern(frozenset({bridge}))

    def _read_nftables(self) -> Concern:
        concern = _NOBODY
        for message in _received(self._nftables):
            if message is None:
                return _ALL
            if message.kind == _NEWGEN and not _is_ours(message):
                concern = _FIREWALL
        return concern

    def _read_route(self) -> Concern:
        concern, others = _NOBODY, self._reconciler.attachments()
        for message in _received(self._route):
            concern |= _ALL if message is None else _concern(message, others)
        return concern

    def _follow_servers(self) -> bool:
        """Wait for the end of the servers that run now, whoever started them; whether every one
        that should run does."""
        wanted = self._reconciler.servers()
        for name in self._servers.keys() - wanted.keys():
            self._forget_server(name)
        for name, pid in wanted.items():
            self._follow_server(name, pid)
        return self._servers.keys() == wanted.keys()

    def _follow_server(self, name: str, pid: int | None) -> None:
        if name in self._servers:
            if self._servers[name][0] == pid:
                return
            self._forget_server(name)
        if pid is None:
            return
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        self._servers[name] = pid, handle
        self._selector.register(handle, selectors.EVENT_READ, partial(self._server_ended, name))

    def _server_ended(self, name: str) -> Concern:
        self._forget_server(name)
        return _ALL

    def _forget_server(self, name: str) -> None:
        _, handle = self._servers.pop(name)
        self._selector.unregister(handle)
        os.close(handle)


def _received(connection: NetlinkSocket) -> Iterator[Message | None]:
    """What one datagram holds; None where so much happened that the kernel dropped some."""
    try:
        for message, _ in connection.receive():
            yield message
    except OSError as error:
        if error.errno != errno.ENOBUFS:
            raise
        yield None


def _is_ours(message: Message) -> bool:
    """Whether a thread of this process made a transaction: what the kernel tells of its author
    (NFTA_GEN_PROC_PID) is a thread, whatever it is called."""
    data = dict(attributes(message.payload, 4)).get(_GENERATION_PID, b"\0\0\0\0")
    return Path(f"/proc/self/task/{struct.unpack('>I', data)[0]}").exists()


def _concern(message: Message, others: frozenset[str]) -> Concern:
    """Whom news are about; `others` are interfaces that are not ours and concern us too."""
    payload = message.payload
    if message.kind in _LINKS:
        name = dict(attributes(payload, 16)).get(_IFNAME, b"").rstrip(b"\0").decode()
        return Concern(frozenset({name})) if name in others else _of_interface(name)
    if message.kind in _ADDRESSES:
        return _of_index(struct.unpack_from("=I", payload, 4)[0])
    if message.kind in _ROUTES:
        return _ALL if payload[1] == 0 else _NOBODY
    if message.kind in _NETCONF:
        data = dict(attributes(payload, 4)).get(_NETCONF_INDEX, b"")
        index = struct.unpack("=i", data)[0] if data else 0
        return _ALL if index < 0 else _of_index(index, settings=True)
    return _NOBODY


def _of_index(index: int, *, settings: bool = False) -> Concern:
    try:
        name = socket.if_indextoname(index)
    except OSError:  # gone; its link's own message names it
        return _NOBODY
    if settings and name in hostfacts.uplinks():
        return _ALL
    return _of_interface(name)


def _of_interface(name: str) -> Concern:
    if name.startswith((BRIDGE_PREFIX, PORT_PREFIX)):
        return Concern(frozenset({name}))
    return _NOBODY
