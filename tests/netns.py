"""Real network namespaces for tests: one of a host, one of the "internet", one per guest.

A namespace's name carries the number of the process that made it, so that tests may run side by
side and what a killed run left is found and removed by the next. Sockets made inside `entered()`
belong to the namespace for good, threads and processes started there too.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

R = TypeVar("R")

PREFIX = "kwt"
DEADLINE = 5.0
_CLONE_NEWNET = 0x40000000
_FOLDER = Path("/run/netns")
_numbers = itertools.count(1)
_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """A network namespace with loopback up; `close` ends every process in it."""

    def __init__(self, label: str = "ns") -> None:
        self.name = f"{PREFIX}-{os.getpid()}-{next(_numbers)}-{label}"
        _run(["ip", "netns", "add", self.name])
        self._closers: list[Callable[[], None]] = []
        self.ip("link set lo up")

    @classmethod
    def of(cls, name: str) -> Self:
        """One that somebody else has made, and removes."""
        found = cls.__new__(cls)
        found.name, found._closers = name, []
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End servers and processes, remove the namespace."""
        self.close_servers()
        remove(self.name)

    def close_servers(self) -> None:
        """End the servers that were started inside."""
        while self._closers:
            self._closers.pop()()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread is inside; what it starts there stays there."""
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        there = os.open(_FOLDER / self.name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(there)
            try:
                yield
            finally:
                _enter(own)
        finally:
            os.close(own)
            os.close(there)

    def call(self, function: Callable[[], R]) -> R:
        """Call `function` inside."""
        with self.entered():
            return function()

    def run(self, *command: str, check: bool = True, stdin: str = "") -> str:
        """Run a program inside; returns what it printed."""
        with self.entered():
            return _run(list(command), check=check, stdin=stdin)

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a program inside; it ends with the namespace at the latest."""
        with self.entered():
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def ip(self, command: str) -> Any:
        """`ip -j`: what it answers, decoded."""
        out = self.run("ip", "-j", *command.split())
        return json.loads(out) if out.strip() else []

    def nft(self, command: str) -> Any:
        """`nft -j`: the list of objects it answers."""
        out = self.run("nft", "-j", *command.split())
        return json.loads(out)["nftables"] if out.strip() else []

    def sysctl(self, key: str, value: str | None = None) -> str:
        """Read, or first write, a file below /proc/sys/net."""
        path = Path("/proc/sys/net") / key
        with self.entered():
            if value is not None:
                path.write_text(value)
            return path.read_text().strip()

    def pids(self) -> list[int]:
        """The processes inside, this one never."""
        found = _run(["ip", "netns", "pids", self.name], check=False).split()
        return [int(pid) for pid in found if int(pid) != os.getpid()]

    def tcp_server(self, port: int, address: str = "") -> None:
        """Answers each connection with the caller's address, then repeats what it is sent."""
        with self.entered():
            server = socket.create_server((address, port), family=_family(address))
        self._serve(server, _accept)

    def udp_server(self, port: int, address: str = "") -> None:
        """Answers each datagram with the caller's address."""
        with self.entered():
            server = socket.socket(_family(address), socket.SOCK_DGRAM)
            if server.family == socket.AF_INET6:
                server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            server.bind((address, port))
        self._serve(server, _answer)

    def datagram_server(
        self, port: int, reply: Callable[[bytes], bytes], address: str = ""
    ) -> None:
        """Answers each datagram with what `reply` makes of it."""
        with self.entered():
            server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            server.bind((address, port))

        def serve(server: socket.socket, stopped: socket.socket) -> None:
            while stopped not in select.select([server, stopped], [], [])[0]:
                message, caller = server.recvfrom(4096)
                server.sendto(reply(message), caller)

        self._serve(server, serve)

    def stream_server(
        self, port: int, serve_one: Callable[[socket.socket], None], address: str = ""
    ) -> None:
        """Serves one TCP connection after another."""
        with self.entered():
            server = socket.create_server((address, port))

        def serve(server: socket.socket, stopped: socket.socket) -> None:
            while stopped not in select.select([server, stopped], [], [])[0]:
                connection, _ = server.accept()
                with connection:
                    serve_one(connection)

        self._serve(server, serve)

    def connect(self, address: str, port: int, timeout: float = DEADLINE) -> socket.socket:
        """A TCP connection from inside."""
        with self.entered():
            return socket.create_connection((address, port), timeout=timeout)

    def ask_tcp(self, address: str, port: int, timeout: float = DEADLINE) -> str:
        """The address a `tcp_server` saw; empty when it could not be reached."""
        try:
            with self.connect(address, port, timeout) as connection:
                return connection.recv(100).decode()
        except OSError:
            return ""

    def ask_udp(self, address: str, port: int, timeout: float = DEADLINE) -> str:
        """The address a `udp_server` saw; asks again every 200 ms, for neighbours to be found."""
        with self.udp_socket(_family(address)) as client:
            return ask(client, address, port, timeout)

    def pings(self, address: str, timeout: float = 1.0) -> bool:
        """Whether an ICMP echo request is answered (RFC 792)."""
        if ":" in address:
            return self._pings6(address, timeout)
        with self.entered():
            icmp = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        with icmp:
            icmp.settimeout(timeout)
            # Type 8, code 0, checksum, identifier 0x6b77, sequence 1: the sum is complemented.
            icmp.sendto(bytes.fromhex("08008c876b770001"), (address, 0))
            try:
                return icmp.recv(100)[20] == 0
            except OSError:
                return False

    def _pings6(self, address: str, timeout: float) -> bool:
        """The same by ICMPv6 (RFC 4443); the kernel does the checksum."""
        with self.entered():
            icmp = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        until = time.monotonic() + timeout
        with icmp:
            icmp.sendto(bytes.fromhex("800000006b770001"), (address, 0))
            while (left := until - time.monotonic()) > 0:
                icmp.settimeout(left)
                try:
                    answer = icmp.recv(100)
                except OSError:
                    return False
                if answer[0] == 129 and answer[4:8] == b"kw\0\1":
                    return True
        return False

    def udp_socket(self, family: int = socket.AF_INET) -> socket.socket:
        """A UDP socket of the namespace."""
        with self.entered():
            return socket.socket(family, socket.SOCK_DGRAM)

    def packets(self, interface: str) -> socket.socket:
        """A raw socket that sends and receives whole frames on an interface."""
        with self.entered():
            frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            frames.bind((interface, 0))
            frames.settimeout(DEADLINE)
            return frames

    def _serve(
        self, server: socket.socket, serve: Callable[[socket.socket, socket.socket], None]
    ) -> None:
        stop, stopped = socket.socketpair()
        thread = threading.Thread(target=serve, args=(server, stopped), daemon=True)
        thread.start()

        def close() -> None:
            stop.close()
            thread.join(DEADLINE)
            server.close()
            stopped.close()

        self._closers.append(close)


def ask(client: socket.socket, address: str, port: int, timeout: float = DEADLINE) -> str:
    """Ask a `udp_server` by an existing socket."""
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        try:
            client.settimeout(min(0.2, timeout))
            client.sendto(b"who", (address, port))
            return client.recv(100).decode()
        except OSError:
            continue
    return ""


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def veth(left: Namespace, name: str, right: Namespace, peer: str, mac: str = "") -> None:
    """A pair of interfaces, one in each namespace, both up; `mac` is the peer's."""
    address = f" address {mac}" if mac else ""
    left.ip(f"link add {name} type veth peer name {peer}{address} netns {right.name}")
    left.ip(f"link set {name} up")
    right.ip(f"link set {peer} up")


def eventually(check: Callable[[], R], timeout: float = DEADLINE) -> R:
    """The first true answer of `check`; the last one when time is over."""
    until = time.monotonic() + timeout
    while not (found := check()) and time.monotonic() < until:
        time.sleep(0.02)
    return found


def remove(name: str) -> None:
    """End every process of a namespace and remove it."""
    for pid in _run(["ip", "netns", "pids", name], check=False).split():
        if int(pid) != os.getpid():
            _kill(int(pid))
    _run(["ip", "netns", "del", name], check=False)


def remove_stale() -> None:
    """Remove the namespaces of test processes that are no more."""
    for path in _FOLDER.glob(f"{PREFIX}-*"):
        number = path.name.split("-")[1]
        if not Path(f"/proc/{number}").exists():
            remove(path.name)


def _kill(pid: int) -> None:
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        select.select([handle], [], [], DEADLINE)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _run(command: list[str], *, check: bool = True, stdin: str = "") -> str:
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=30, check=False
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _accept(server: socket.socket, stopped: socket.socket) -> None:
    open_ones: list[socket.socket] = []
    while True:
        ready, _, _ = select.select([server, stopped, *open_ones], [], [])
        if stopped in ready:
            break
        for one in ready:
            if one is server:
                connection, caller = server.accept()
                open_ones.append(connection)
                connection.sendall(caller[0].encode())
            elif not _echo(one):
                open_ones.remove(one)
                one.close()
    for one in open_ones:
        one.close()


def _echo(connection: socket.socket) -> bool:
    try:
        data = connection.recv(4096)
        if data:
            connection.sendall(data)
        return bool(data)
    except OSError:
        return False


def _answer(server: socket.socket, stopped: socket.socket) -> None:
    while True:
        ready, _, _ = select.select([server, stopped], [], [])
        if stopped in ready:
            return
        try:
            _, caller = server.recvfrom(4096)
            server.sendto(caller[0].encode(), caller)
        except OSError:
            continue
