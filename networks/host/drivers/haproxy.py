"""The one HAProxy of a host; it outlives this process and is adopted by the next.

It is started for a set of public addresses and told everything else by its socket. What it does is
read from it once; later changes are this process's own. In place of one that runs, another is
started that takes over its listening sockets (haproxy(1), -x and -sf), so that nobody is turned
away. It listens as root and serves as `haproxy`. Nothing but its socket, for root alone, can
change it.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from kvmweb.core.errors import HostBusy, HostError
from kvmweb.host.config import HostPaths
from kvmweb.host.files import write_durably
from networks.host.drivers import certificates
from networks.host.drivers import haproxy_words as words
from networks.host.drivers.counters import Counted
from networks.host.drivers.daemon import command_line, end
from networks.host.proxy import (
    CERTIFICATES,
    HTTP_PORT,
    MAPS,
    ChangeNames,
    EndSessions,
    ProxyState,
    Route,
    StartProxy,
    StoreCertificates,
    WriteNames,
    certificate_of,
    sealed_of,
)
from networks.host.proxy_text import certificates_of, configuration
from networks.host.spec import HostNameSpec

_USER = "haproxy"
_SOCKET = "admin.sock"
_SECONDS = 20
_AT_ONCE = 50
_OTHERS_MAY_ENTER = 0o001
_Stamp = tuple[int, int, int]


class HaProxy:
    """`folder` holds all of its files. Another folder is another proxy. `key` opens the
    certificates."""

    def __init__(self, folder: Path, key: str = "") -> None:
        self._folder = folder
        self._key = key
        self._names = folder / "names"
        self._pid_file = folder / "haproxy.pid"
        self._live: set[Route] = set()
        self._live_of: int | None = None
        self._read: dict[str, tuple[_Stamp, frozenset[Route]]] = {}

    def observe(self, owner: str, keys: Collection[str]) -> ProxyState:
        """What concerns the names of `owner`; `keys` are those it wants."""
        written = self._written()
        mine = written.pop(owner, frozenset())
        bound = self._bound()
        return ProxyState(
            running=self._is_read(),
            current=bound is not None and self._runs(self._configuration_file(bound)),
            bound=bound or frozenset(),
            elsewhere=frozenset(r.public_address for routes in written.values() for r in routes),
            taken=frozenset(r.key for routes in written.values() for r in routes if r.key in keys),
            written=mine,
            live=frozenset(route for route in self._live if route.owner == owner),
            stored=frozenset(self._stored(owner)),
        )

    def pid(self) -> int | None:
        """The process of our proxy if it runs, with whatever configuration."""
        try:
            pid = int(self._pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return pid if str(self._pid_file) in command_line(pid) else None

    def change(self, op: ChangeNames) -> None:
        """Have the running proxy do something else; each line is old or new at any time."""
        add = {(route.table, route.key): route for route in op.add if route.table in MAPS}
        remove = {(route.table, route.key): route for route in op.remove if route.table in MAPS}
        for route in op.add:
            if route.table == "certificate":
                self._offer(route)
        commands = [words.set_line(add[place]) for place in sorted(add.keys() & remove.keys())]
        commands += [words.add_line(add[place]) for place in sorted(add.keys() - remove.keys())]
        commands += [
            words.delete_line(remove[place]) for place in sorted(remove.keys() - add.keys())
        ]
        parts = (commands[at : at + _AT_ONCE] for at in range(0, len(commands), _AT_ONCE))
        said = [self._ask(";".join(part)).strip() for part in parts]
        for route in op.remove:
            if route.table == "certificate":
                self._withdraw(route)
        self._live = self._live - op.remove | op.add
        if any(said):
            self._live_of = None  # not all was as it was thought to be: read it again

    def store(self, op: StoreCertificates) -> None:
        """Write certificates with their keys where root alone reads them; what serves does not."""
        folder = self._folder / CERTIFICATES
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        for name, text in op.files:
            write_durably(self._folder / name, certificates.opened(self._key, text))

    def unusable(self, owner: str, names: Iterable[HostNameSpec]) -> dict[str, str]:
        """The names of `owner` whose certificates the proxy would not take, with the reason."""
        found: dict[str, str] = {}
        known, each = set(self._stored(owner)), tuple(names)
        by_file = {f: text for f, text in sealed_of(owner, each).items() if f not in known}
        for name in each:
            text = by_file.get(certificate_of(owner, name).pem)
            if text is not None and (problem := certificates.problem(self._key, text)):
                found[name.id] = problem
        return found

    def _stored(self, owner: str) -> Iterator[str]:
        """The files of the certificates of `owner`."""
        for path in (self._folder / CERTIFICATES).glob(f"{owner}.*.pem"):
            yield f"{CERTIFICATES}/{path.name}"

    def _offer(self, route: Route) -> None:
        """Give the running proxy a certificate for a name."""
        text = (self._folder / route.pem).read_text().strip()
        self._ask(f"new ssl cert {route.pem}")
        self._ask(f"set ssl cert {route.pem} <<\n{text}\n")
        self._ask(f"commit ssl cert {route.pem}")
        place = certificates_of(route.public_address)
        said = self._ask(f"add ssl crt-list {place} <<\n{route.pem} {route.name}\n")
        if "Success" not in said:
            self._live_of = None

    def _withdraw(self, route: Route) -> None:
        self._ask(f"del ssl crt-list {certificates_of(route.public_address)} {route.pem}")
        self._ask(f"del ssl cert {route.pem}")

    def end(self, op: EndSessions) -> None:
        """End the connections to these targets."""
        for session, target in words.sessions(self._ask("show sess all")):
            if target in op.targets:
                self._ask(f"shutdown session {session}")

    def write(self, op: WriteNames) -> None:
        """Replace the file of a network."""
        path = self._names / op.owner
        if op.routes:
            lines = (f"{route.table} {route.key} {route.value}\n" for route in sorted(op.routes))
            write_durably(path, "".join(lines).encode())
        else:
            path.unlink(missing_ok=True)
        kept = {route.pem for route in op.routes if route.table == "certificate"}
        for file in set(self._stored(op.owner)) - kept:
            (self._folder / file).unlink(missing_ok=True)

    def start(self, op: StartProxy) -> None:
        """Start it in the background, in place of one with another configuration."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o711)
        self._write_tables(op.addresses)
        file = self._configuration_file(op.addresses)
        write_durably(file, self._text(op.addresses).encode())
        arguments = self._arguments(file)
        if (old := self.pid()) is not None:
            arguments += ["-x", _SOCKET, "-sf", str(old)]
        _run(arguments)
        for path in self._folder.glob("*.cfg"):
            if path != file:
                path.unlink()
        self._live_of = None

    def stop(self) -> None:
        """End every proxy of this folder, those with their last connections too."""
        for pid in self._pids():
            end(pid)
        self._pid_file.unlink(missing_ok=True)

    def delete(self) -> None:
        """End it and remove all of its files."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def bound(self) -> frozenset[str]:
        """The addresses whose ports 80 and 443 are its own."""
        return self._bound() or frozenset()

    def counted(self) -> dict[int, Counted]:
        """What each name has carried, by its number. The stamp is the process that counted;
        connections of one that was replaced are counted no further."""
        pid = self.pid()
        counted = {} if pid is None else dict(words.counted(pid, self._ask("show table names")))
        return {number: each for number, each in counted.items() if number}

    def _written(self) -> dict[str, frozenset[Route]]:
        """What the files of all networks say; a file that did not change is not read again."""
        found: dict[str, tuple[_Stamp, frozenset[Route]]] = {}
        for path in self._names.iterdir() if self._names.is_dir() else ():
            if path.name.startswith("."):
                continue
            stat = path.stat()
            stamp = stat.st_ino, stat.st_mtime_ns, stat.st_size
            known = self._read.get(path.name)
            same = known is not None and known[0] == stamp
            found[path.name] = (
                known if known and same else (stamp, words.routes_of(path.read_text()))
            )
        self._read = found
        return {owner: routes for owner, (_, routes) in found.items()}

    def _bound(self) -> frozenset[str] | None:
        """The addresses it was started for; None when it does not run."""
        pid = self.pid()
        files = [a for a in command_line(pid) if a.endswith(".cfg")] if pid is not None else []
        try:
            lines = (self._folder / files[0]).read_text().splitlines() if files else []
        except FileNotFoundError:
            lines = []
        if pid is None:
            return None
        said = (line.split()[1].rpartition(":") for line in lines if line.startswith("    bind "))
        return frozenset(place.strip("[]") for place, _, port in said if port == str(HTTP_PORT))

    def _runs(self, file: Path) -> bool:
        pid = self.pid()
        return pid is not None and file.name in command_line(pid)

    def _is_read(self) -> bool:
        """Whether it runs; then what it does is known."""
        pid = self.pid()
        if pid is not None and pid == self._live_of:
            return True
        self._live, self._live_of = set(), None
        if pid is None:
            return False
        for table in MAPS:
            self._live |= set(words.shown(table, self._ask(f"show map {table}.map")))
        for place in self._bound() or ():
            said = self._ask(f"show ssl crt-list -n {certificates_of(place)}")
            self._live |= set(words.offered(place, said))
        self._live_of = pid
        return True

    def _write_tables(self, public: Iterable[str]) -> None:
        routes = [route for written in self._written().values() for route in sorted(written)]
        for table in MAPS:
            lines = [f"{r.key} {r.value}\n" for r in routes if r.table == table]
            (self._folder / f"{table}.map").write_text("".join(lines))
        offered = [r for r in routes if r.table == "certificate"]
        there = [r for r in offered if (self._folder / r.pem).exists()]
        for place in public:
            lines = [f"{r.pem} {r.name}\n" for r in there if r.public_address == place]
            (self._folder / certificates_of(place)).write_text("".join(lines))

    def _configuration_file(self, public: Iterable[str]) -> Path:
        """Named by its content, so that the command line says what a process was started with."""
        digest = hashlib.sha256(self._text(public).encode()).hexdigest()[:16]
        return self._folder / f"{digest}.cfg"

    def _text(self, public: Iterable[str]) -> str:
        return configuration(public, _USER if self._can_serve() else "")

    def _can_serve(self) -> bool:
        """Whether the user it becomes is there and reaches its folder."""
        try:
            pwd.getpwnam(_USER)
        except KeyError:
            return False
        return all(
            parent.stat().st_mode & _OTHERS_MAY_ENTER
            for parent in self._folder.absolute().parents
            if parent.exists()
        )

    def _arguments(self, file: Path) -> list[str]:
        return [
            "haproxy",
            "-D",
            "-C",
            str(self._folder),
            "-f",
            file.name,
            "-p",
            str(self._pid_file),
        ]

    def _pids(self) -> list[int]:
        """Every process started from this folder, the newest and those it replaced."""
        mark = str(self._pid_file)
        numbers = (path.name for path in Path("/proc").iterdir())
        return [int(n) for n in numbers if n.isdigit() and mark in command_line(int(n))]

    def _ask(self, command: str) -> str:
        """The answer to commands; raises where one was not understood or the proxy is gone."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_SECONDS)
            try:
                self._connect(connection)
                connection.sendall(command.encode() + b"\n")
                answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
            except OSError as error:
                self._live_of = None
                raise HostBusy(f"The proxy of host names does not answer: {error}") from error
        return answer

    def _connect(self, connection: socket.socket) -> None:
        """By the folder's descriptor: the whole path may be longer than a socket's name."""
        folder = os.open(self._folder, os.O_PATH | os.O_DIRECTORY)
        try:
            connection.connect(f"/proc/self/fd/{folder}/{_SOCKET}")
        finally:
            os.close(folder)


def proxy_of(paths: HostPaths, key: str = "") -> HaProxy:
    """The proxy of this host; `key` opens what is sealed for it."""
    return HaProxy(paths.run / "haproxy", key)


def is_installed() -> bool:
    """Whether it can be started."""
    return shutil.which("haproxy") is not None


def _run(arguments: list[str]) -> None:
    try:
        done = subprocess.run(
            arguments, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except FileNotFoundError as error:
        raise HostError("The program haproxy is not installed.", code="proxy_missing") from error
    except subprocess.TimeoutExpired as error:
        raise HostBusy("The proxy of host names did not start in time.") from error
    if done.returncode != 0:
        raise HostError(
            f"The proxy of host names did not start: {done.stderr.strip()[-300:]}",
            code="proxy_failed",
            remedy="See whether another program of the host uses TCP port 80 or 443.",
        )
