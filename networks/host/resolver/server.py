"""The sockets of all networks and one loop that never waits for a guest or an upstream server.

A round reads a few questions of each network, so one that floods has only its own wait. TCP, which
guests need for the rare long answer, has a few short threads per network.
"""

from __future__ import annotations

import os
import selectors
import socket
import syslog
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from networks.host.resolver import news, wire, zones
from networks.host.resolver.upstream import (
    LONGEST,
    PORT,
    Forwarder,
    HostServers,
    Question,
    ask_by_tcp,
    receive_framed,
    send_framed,
)
from networks.host.resolver.wire import Query
from networks.host.resolver.zones import Zone

_PER_ROUND = 16
_TCP_PER_NETWORK = 8
_TCP_SECONDS = 5.0
_TRY_AGAIN_SECONDS = 2.0
_FREEBIND = {socket.AF_INET: (socket.SOL_IP, 15), socket.AF_INET6: (socket.IPPROTO_IPV6, 78)}


@dataclass(slots=True)
class View:
    """A network as it is served. `index` is the bridge its sockets are bound to, 0 for none;
    `is_told` says that the log knows of its trouble."""

    zone: Zone
    version: tuple[int, int]
    index: int = 0
    is_told: bool = False
    sockets: list[socket.socket] = field(default_factory=list)
    slots: threading.Semaphore = field(
        default_factory=partial(threading.Semaphore, _TCP_PER_NETWORK)
    )


class Server:
    """Serves the zones in a folder, by a descriptor of it, as they come and go."""

    def __init__(self, folder: int, changes: int, resolv: Path) -> None:
        self._folder = folder
        self._changes = changes
        self._host_servers = HostServers(resolv)
        self._views: dict[str, View] = {}
        self._selector = selectors.DefaultSelector()
        self._forwarder = Forwarder(self._selector)
        self._links = news.watched_links()
        self._selector.register(changes, selectors.EVENT_READ, self._folder_changed)
        self._selector.register(self._links, selectors.EVENT_READ, self._links_changed)
        self._retry: float | None = None

    def load(self) -> None:
        """Read all zones and open what can be opened of their sockets."""
        self._read()
        self._bind()

    def run(self) -> None:
        """Serve for ever: whatever one message does, the others are still answered."""
        while True:
            try:
                self.turn()
            except Exception as error:
                syslog.syslog(syslog.LOG_ERR, f"a message could not be answered: {error!r}")

    def turn(self) -> None:
        """Wait for what comes next and see to it."""
        for key, _ in self._selector.select(self._timeout()):
            if isinstance(key.data, Question):
                if key.data.socket is key.fileobj:
                    self._forwarder.answered(key.data)
            else:
                key.data()
        self._forwarder.expire()
        if self._retry is not None and self._retry <= time.monotonic():
            self._bind()

    def _timeout(self) -> float | None:
        waits = [self._forwarder.timeout()]
        if self._retry is not None:
            waits.append(max(0.0, self._retry - time.monotonic()))
        return min((each for each in waits if each is not None), default=None)

    def _folder_changed(self) -> None:
        news.drain(self._changes)
        self._read()
        self._bind()

    def _links_changed(self) -> None:
        news.drain(self._links.fileno())
        self._bind()

    def _read(self) -> None:
        """Zones that are new, changed or gone. One that cannot be read stays as it was."""
        there = dict(self._files())
        for bridge in self._views.keys() - there.keys():
            self._close(self._views.pop(bridge))
        for bridge, version in there.items():
            view = self._views.get(bridge)
            if view is not None and view.version == version:
                continue
            try:
                zone = zones.read(self._text(bridge))
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                syslog.syslog(syslog.LOG_ERR, f"zone {bridge} cannot be read: {error!r}")
                continue
            self._take(bridge, zone, version)

    def _take(self, bridge: str, zone: Zone, version: tuple[int, int]) -> None:
        view = self._views.get(bridge)
        if view is None:
            self._views[bridge] = View(zone, version)
            return
        if view.zone.listen != zone.listen:
            self._close(view)
        view.zone, view.version = zone, version

    def _files(self) -> Iterator[tuple[str, tuple[int, int]]]:
        for name in os.listdir(self._folder):  # noqa: PTH208  no Path has a descriptor
            with suppress(FileNotFoundError):
                status = os.stat(name, dir_fd=self._folder)
                yield name, (status.st_mtime_ns, status.st_ino)

    def _text(self, name: str) -> str:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._folder)
        with os.fdopen(descriptor) as stream:
            return stream.read()

    def _bind(self) -> None:
        """Have every network's sockets on the bridge there is now."""
        self._retry = None
        for view in self._views.values():
            index = _index(view.zone.bridge)
            if view.index == index and (view.sockets or not index):
                continue
            self._close(view)
            try:
                self._open(view, index)
            except OSError as error:
                self._close(view)
                self._retry = time.monotonic() + _TRY_AGAIN_SECONDS
                if not view.is_told:
                    syslog.syslog(syslog.LOG_ERR, f"{view.zone.bridge} is not served: {error}")
                view.is_told = True

    def _open(self, view: View, index: int) -> None:
        view.index = index
        if not index:
            return
        for address in view.zone.listen:
            by_udp = _bound(view.zone.bridge, address, socket.SOCK_DGRAM)
            view.sockets.append(by_udp)
            self._hear(by_udp, partial(self._read_udp, view, by_udp))
            by_tcp = _bound(view.zone.bridge, address, socket.SOCK_STREAM)
            view.sockets.append(by_tcp)
            by_tcp.listen(_TCP_PER_NETWORK)
            self._hear(by_tcp, partial(self._accept, view, by_tcp))
        view.is_told = False

    def _hear(self, opened: socket.socket, call: Callable[[], None]) -> None:
        self._selector.register(opened, selectors.EVENT_READ, call)

    def _close(self, view: View) -> None:
        for opened in view.sockets:
            with suppress(KeyError):
                self._selector.unregister(opened)
            opened.close()
        view.sockets, view.index = [], 0

    def _read_udp(self, view: View, opened: socket.socket) -> None:
        for _ in range(_PER_ROUND):
            try:
                message, client = opened.recvfrom(LONGEST)
            except OSError:  # nothing more, or the bridge has just gone
                return
            self._reply(view, message, partial(_send, opened, client))

    def _reply(self, view: View, message: bytes, reply: Callable[[bytes], None]) -> None:
        query, own = _own_answer(view.zone, message)
        if own is not None:
            reply(own)
        elif query is not None:
            servers = self._servers(view.zone)
            self._forwarder.ask(view.zone.bridge, message, query, servers, reply)

    def _accept(self, view: View, listening: socket.socket) -> None:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        if not view.slots.acquire(blocking=False):
            connection.close()
            return
        threading.Thread(target=self._serve, args=(view, connection), daemon=True).start()

    def _serve(self, view: View, connection: socket.socket) -> None:
        try:
            with connection, suppress(OSError):
                connection.settimeout(_TCP_SECONDS)
                while (message := receive_framed(connection)) is not None:
                    query, own = _own_answer(view.zone, message)
                    if own is None and query is None:
                        return
                    if own is None and query is not None:
                        own = ask_by_tcp(message, query, self._servers(view.zone))
                    send_framed(connection, own or b"")
        finally:
            view.slots.release()

    def _servers(self, zone: Zone) -> tuple[str, ...]:
        """Whom to ask for this network. What it chose itself is never in another's subnet: guests
        there cannot be reached from here by any other way either."""
        if not zone.upstreams:
            return self._host_servers.now()
        others = [v.zone for v in list(self._views.values()) if v.zone.bridge != zone.bridge]
        return tuple(
            server
            for server in zone.upstreams
            if not any(ip_address(server) in each for other in others for each in other.subnets)
        )


def _own_answer(zone: Zone, message: bytes) -> tuple[Query | None, bytes | None]:
    query = wire.parse(message)
    if isinstance(query, int):
        return None, wire.error(message, query)
    if query is None:
        return None, None
    return query, zones.answer(zone, query)


def _send(opened: socket.socket, client: tuple[Any, ...], message: bytes) -> None:
    with suppress(OSError):  # the guest went, or its bridge
        opened.sendto(message, client)


def _bound(bridge: str, address: str, kind: socket.SocketKind) -> socket.socket:
    family = socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6
    opened = socket.socket(family, kind | socket.SOCK_NONBLOCK)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, bridge.encode() + b"\0")
        opened.setsockopt(*_FREEBIND[family], 1)
        if kind is socket.SOCK_STREAM:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((address, PORT))
    except OSError:
        opened.close()
        raise
    return opened


def _index(bridge: str) -> int:
    try:
        return socket.if_nametoindex(bridge)
    except OSError:
        return 0
