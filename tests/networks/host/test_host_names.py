"""Host names on a shared 80 and 443: a real HAProxy, real requests, real certificates."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import ssl
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kvmweb.host.progress import silent
from networks.host.case import explain
from networks.host.drivers.haproxy import HaProxy
from networks.host.explain.steps import Case, first_broken
from networks.host.facts import Looker
from networks.host.proxy import ChangeNames, Route, routes
from networks.host.spec import EgressSpec, HostNameSpec, NetworkSpec
from networks.host.usage import Usage
from networks.host.watch import Watcher
from tests.netns import Namespace, eventually
from tests.networks.host.lab import (
    OUTSIDE,
    PUBLIC,
    SECOND_PUBLIC,
    Lab,
    absent,
    assert_converges,
    network,
)
from tests.networks.host.test_crash import killed, stopped
from tests.web import (
    PROXY_V2,
    ask_http,
    ask_https,
    ask_on,
    client_context,
    make_certificate,
    serve_http,
    server_context,
)

pytestmark = pytest.mark.kernel

A, B, C = "a.example.org", "b.example.org", "c.example.org"
LABEL = "Nothing is served under this name."


def name(
    spec: NetworkSpec, number: int, host: str, *, guest: int = 0, **fields: object
) -> HostNameSpec:
    made = HostNameSpec(
        id=f"name-{number}",
        number=number,
        public_address=PUBLIC,
        name=host,
        address=spec.reservations[guest].address,
        http_port=80,
        tls="passthrough",
        tls_port=443,
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def named(spec: NetworkSpec, *names: HostNameSpec) -> NetworkSpec:
    return replace(spec, generation=spec.generation + 1, host_names=names)


class World:
    """Network 1 has the guests a and b, network 2 has c; each serves HTTP and TLS of its own."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.one, self.two = network(1, guests=2), network(2, guests=1, source=None)
        self.a = lab.guest(self.one.reservations[0], self.one)
        self.b = lab.guest(self.one.reservations[1], self.one)
        self.c = lab.guest(self.two.reservations[0], self.two)
        self.trust: dict[str, ssl.SSLContext] = {}
        self._closers: list[Callable[[], None]] = []
        for guest, host in ((self.a, A), (self.b, B), (self.c, C)):
            file = make_certificate(lab.folder, host)
            self.trust[host] = client_context(file)
            self._closers.append(serve_http(guest, f"web of {host}"))
            self._closers.append(serve_http(guest, f"tls of {host}", 443, server_context(file)))
        self.with_names = named(self.one, name(self.one, 1, A), name(self.one, 2, B, guest=1))
        self.two = named(self.two, name(self.two, 3, C))

    def apply(self) -> None:
        for spec in (self.with_names, self.two):
            assert not self.lab.apply(spec).attention

    def http(self, host: str, source: Namespace | None = None, address: str = PUBLIC) -> str:
        status, text = ask_http(source or self.lab.internet, address, host)
        return text.splitlines()[0] if status == 200 else str(status)

    def tls(self, host: str, source: Namespace | None = None) -> str:
        status, text = ask_https(source or self.lab.internet, PUBLIC, host, self.trust[host])
        return text.splitlines()[0] if status == 200 else str(status)

    def close(self) -> None:
        for close in self._closers:
            close()


@pytest.fixture
def world(lab: Lab) -> Iterator[World]:
    made = World(lab)
    try:
        yield made
    finally:
        made.close()


def test_names_lead_to_their_guests_by_host_and_by_server_name(world: World) -> None:
    world.apply()
    for host in (A, B, C):
        assert world.http(host) == f"web of {host}"
        assert world.http(f"{host.upper()}.:80") == f"web of {host}"
        assert world.tls(host) == f"tls of {host}"


def test_an_unknown_name_gets_nothing_of_anybody(world: World) -> None:
    world.apply()
    internet = world.lab.internet
    for host in ("d.example.org", PUBLIC, "", "x.a.example.org", "*.example.org"):
        status, text = ask_http(internet, PUBLIC, host)
        assert (status, text.strip()) == (404, LABEL)
    context = ssl.create_default_context()
    for unknown in ("d.example.org", "www.a.example.org"):
        with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
            ask_https(internet, PUBLIC, unknown, context)
    with pytest.raises(OSError, match="refused"):
        internet.connect(SECOND_PUBLIC, 80)


def test_one_connection_may_ask_for_several_names_and_each_goes_its_way(world: World) -> None:
    world.apply()
    with world.lab.internet.connect(PUBLIC, 80) as connection:
        for host in (A, C, B, A):
            assert ask_on(connection, host)[1].startswith(f"web of {host}\n")


def test_a_wildcard_is_one_label_and_a_whole_name_goes_before_it(world: World) -> None:
    names = (name(world.one, 1, A), name(world.one, 4, "*.example.org", guest=1))
    world.lab.apply(named(world.one, *names))
    assert world.http(A) == f"web of {A}"
    assert world.http("any.example.org") == f"web of {B}"
    assert world.http("two.any.example.org") == "404"
    assert world.http("example.org") == "404"


def test_guests_know_who_asks(world: World) -> None:
    proxied = replace(name(world.one, 1, A), proxy_protocol=True, tls_port=8443)
    world.lab.apply(named(world.one, proxied))
    _, text = ask_http(world.lab.internet, PUBLIC, A, X_Forwarded_For="192.0.2.1")
    said = text.lower().splitlines()
    assert [line for line in said if "forwarded" in line] == [
        "x-forwarded-proto: http",
        f"x-forwarded-for: {OUTSIDE}",
    ]
    with world.a.entered():
        server = socket.create_server(("", 8443))
    server.settimeout(20)
    with server, world.lab.internet.connect(PUBLIC, 443) as client:
        tls = ssl.MemoryBIO(), ssl.MemoryBIO()
        hello = ssl.create_default_context().wrap_bio(*tls, server_hostname=A)
        with pytest.raises(ssl.SSLWantReadError):
            hello.do_handshake()
        client.sendall(tls[1].read())
        taken, _ = server.accept()
        with taken:
            first = taken.recv(28, 0x100)
    assert first.startswith(PROXY_V2)
    assert first[16:20] == bytes(map(int, OUTSIDE.split(".")))


def test_names_work_from_everywhere(world: World) -> None:
    world.apply()
    for source in (world.lab.host, world.a, world.b, world.c):
        assert world.http(A, source) == f"web of {A}"
        assert world.tls(C, source) == f"tls of {C}"


def test_guests_reach_nothing_but_the_proxy_and_only_where_they_may_go(world: World) -> None:
    world.apply()
    world.lab.host.tcp_server(22)
    world.lab.host.tcp_server(80, SECOND_PUBLIC)
    assert world.a.ask_tcp(PUBLIC, 22, 0.4) == ""
    assert world.a.ask_tcp(SECOND_PUBLIC, 80, 0.4) == ""
    elsewhere = replace(world.with_names, egress=(EgressSpec(cidr="203.0.113.0/24"),))
    world.lab.apply(elsewhere)
    with pytest.raises(OSError, match=r"route|refused|timed"):
        world.a.connect(PUBLIC, 80, 1)
    world.lab.apply(replace(elsewhere, egress=(EgressSpec(cidr=f"{PUBLIC}/32"),)))
    assert world.http(A, world.a) == f"web of {A}"


def test_open_connections_survive_changes_of_others_and_end_with_their_own_name(
    world: World,
) -> None:
    world.apply()
    pids = proxies(world.lab)
    with (
        world.lab.internet.connect(PUBLIC, 443) as plain,
        world.trust[A].wrap_socket(plain, server_hostname=A) as tls,
        world.lab.internet.connect(PUBLIC, 80) as web,
        world.lab.reconciler() as reconciler,
    ):
        assert ask_on(tls, A)[0] == ask_on(web, A)[0] == 200
        for number in range(50):
            extra = name(world.one, 100 + number, f"x{number}.example.org", guest=1)
            moved = name(world.one, 2, B, guest=number % 2)
            changed = named(world.one, name(world.one, 1, A), moved, extra)
            assert reconciler.apply(changed, silent).ok
            assert ask_on(tls, A)[0] == ask_on(web, A)[0] == 200
        assert world.http("x49.example.org") == f"web of {B}"
        assert world.http("x48.example.org") == "404"
        assert proxies(world.lab) == pids
        assert_converges(reconciler, named(world.one, name(world.one, 2, B, guest=1)))
        with pytest.raises((OSError, ValueError)):
            ask_on(tls, A)
        assert ask_on(web, A)[0] == 404
    assert world.http(B) == f"web of {B}"


def test_another_public_address_disturbs_nobody(world: World) -> None:
    world.apply()
    with (
        world.lab.internet.connect(PUBLIC, 443) as plain,
        world.trust[A].wrap_socket(plain, server_hostname=A) as tls,
    ):
        assert ask_on(tls, A)[0] == 200
        more = name(world.one, 9, "d.example.org", public_address=SECOND_PUBLIC, guest=1)
        world.lab.apply(named(world.one, *world.with_names.host_names, more))
        assert world.http("d.example.org", address=SECOND_PUBLIC) == f"web of {B}"
        assert world.http("d.example.org") == "404"
        assert ask_on(tls, A)[0] == 200
    assert world.http(C) == f"web of {C}"


def test_names_are_counted_each_for_itself(world: World) -> None:
    world.apply()
    usage = Usage(HaProxy(world.lab.paths.run / "haproxy"))
    world.lab.host.call(lambda: list(usage.news()))
    asked = [ask_http(world.lab.internet, PUBLIC, A)[1] for _ in range(3)]
    world.tls(C)
    told: dict[int, list[int]] = {}

    def is_told() -> bool:
        for payload in world.lab.host.call(lambda: list(usage.news())):
            told.update({entry[0]: entry[1:] for entry in payload.get("host_names", ())})
        return told.keys() == {1, 3} and told[1][7] == 3 and told[3][5] > 500

    assert eventually(is_told, 20)
    pid = proxies(world.lab)[0]
    inward, outward, new = told[1][:3], told[1][3:6], told[1][6:]
    assert {inward[0], outward[0], new[0]} == {pid}
    assert inward[2] > 3 * len("GET / HTTP/1.1")
    assert outward[2] > sum(map(len, asked))
    assert told[3][7] == 1
    assert not [p for p in world.lab.host.call(lambda: list(usage.news())) if p.get("host_names")]


def test_the_last_name_takes_the_proxy_along(world: World) -> None:
    world.apply()
    assert proxied(world.lab) == {(PUBLIC, 80), (PUBLIC, 443)}
    world.lab.apply(world.one)
    assert world.http(C) == f"web of {C}"
    world.lab.apply(absent(world.two))
    assert proxies(world.lab) == []
    assert proxied(world.lab) == set()
    with pytest.raises(OSError, match="refused"):
        world.lab.internet.connect(PUBLIC, 80)


def test_a_name_that_cannot_be_served_needs_attention_alone(world: World) -> None:
    world.lab.host.tcp_server(443, SECOND_PUBLIC)
    taken = name(world.one, 5, "e.example.org", public_address=SECOND_PUBLIC)
    foreign = name(world.one, 6, "f.example.org", public_address="198.51.100.77")
    doubled = name(world.two, 7, A)
    outcome = world.lab.apply(named(world.one, name(world.one, 1, A), taken, foreign))
    assert set(outcome.attention) == {"name-5", "name-6"}
    assert "port 443" in outcome.attention["name-5"]
    assert "198.51.100.77" in outcome.attention["name-6"]
    outcome = world.lab.apply(named(world.two, *world.two.host_names, doubled))
    assert set(outcome.attention) == {"name-7"}
    assert world.http(A) == f"web of {A}"
    assert world.http(C) == f"web of {C}"


def test_a_proxy_that_was_killed_comes_back(world: World) -> None:
    with world.lab.reconciler() as reconciler:
        for spec in (world.with_names, world.two):
            assert reconciler.apply(spec, silent).ok
        with world.lab.host.entered():
            watcher = Watcher(reconciler, lambda _drift: None)
            watcher.start()
        try:
            before = proxies(world.lab)
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            assert eventually(lambda: set(proxies(world.lab)) - set(before), 20)
            assert eventually(lambda: reconciler.check(world.two) == (), 20)
            assert world.http(A) == f"web of {A}"
            assert world.http(C) == f"web of {C}"
        finally:
            watcher.close()


def test_lines_changed_by_others_are_put_right_by_the_next_worker(world: World) -> None:
    world.apply()
    proxy = HaProxy(world.lab.paths.run / "haproxy")
    proxy.change(ChangeNames(frozenset(), frozenset({Route("http", f"{PUBLIC}/{A}", "")})))
    assert world.http(A) == "404"
    world.lab.apply(world.with_names)
    assert world.http(A) == f"web of {A}"


def test_the_proxy_serves_as_nobody_of_importance() -> None:
    """Where its folder can be reached by others, as below /run."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="kw") as folder:
        Path(folder).chmod(0o755)
        lab = Lab(Path(folder))
        try:
            spec = network(1, guests=1)
            guest = lab.guest(spec.reservations[0], spec)
            close = serve_http(guest, "web")
            for place in (PUBLIC, SECOND_PUBLIC):
                more = name(spec, 2, B, public_address=place)
                lab.apply(named(spec, name(spec, 1, A), more))
                assert ask_http(lab.internet, place, B)[1].startswith("web\n")
                uids = {Path(f"/proc/{pid}").stat().st_uid for pid in proxies(lab)}
                assert uids == {pwd.getpwnam("haproxy").pw_uid}
            close()
        finally:
            lab.close()


@pytest.mark.parametrize("interrupt", [killed, stopped])
def test_names_survive_a_crash_after_any_op(
    lab: Lab, interrupt: Callable[[Lab, NetworkSpec, int], bool]
) -> None:
    one, two = network(1, guests=2), network(2, guests=1)
    lab.apply(one)
    lab.apply(named(two, name(two, 9, C, public_address=SECOND_PUBLIC)))
    before = named(one, name(one, 1, A), name(one, 2, B))
    after = named(one, name(one, 1, A, guest=1), name(one, 3, "*.example.net"))
    for spec in (before, after, one):
        at = 1
        while interrupt(lab, spec, at):
            lab.apply(spec)
            lab.apply(one)
            if spec is one:
                lab.apply(after)
            at += 1
        assert at > 3
        lab.apply(spec)
    with lab.reconciler() as reconciler:
        reconciler.remove_all()
    assert lab.host.pids() == []
    assert not (lab.paths.run / "haproxy").exists()


def proxies(lab: Lab) -> list[int]:
    return [
        pid
        for pid in lab.host.pids()
        if "haproxy" in Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]
    ]


def proxied(lab: Lab, kind: str = "proxied") -> set[tuple[str, int]]:
    found = lab.host.nft(f"list set inet kvmweb {kind}")
    elements = next(each["set"] for each in found if "set" in each).get("elem", [])
    return {tuple(element["concat"]) for element in elements}


def test_no_other_name_can_be_said_to_the_proxy(lab: Lab) -> None:
    spec = network(1)
    for host in ("a b.example.org", "a.example.org\nx", "A.example.org", "a;b.org", "*", "*.*.org"):
        with lab.reconciler() as reconciler:
            outcome = reconciler.apply(named(spec, name(spec, 1, host)), silent)
        assert outcome.code == "bad_spec"


def test_why_names_what_is_broken_on_the_way_of_a_name(world: World) -> None:
    spec = named(world.one, name(world.one, 1, A))
    world.lab.apply(spec)
    looker = Looker(paths=world.lab.paths, resolv_files=(world.lab.resolv,))
    case = Case(network=spec.subject, host_name=spec.host_names[0].id)

    def why(told: NetworkSpec = spec) -> str:
        steps = world.lab.host.call(lambda: explain(looker, lambda _: told, case))
        found = first_broken(steps)
        return found.key if found else ""

    assert why() == ""
    proxy = HaProxy(world.lab.paths.run / "haproxy")
    world.lab.host.call(lambda: proxy.observe(spec.bridge, set()))
    world.lab.host.call(lambda: proxy.change(ChangeNames(add=frozenset(), remove=routes(spec))))
    assert why() == "map"
    world.lab.apply(spec)
    world.a.ip("link set eth0 down")
    assert why() == "port"
    world.a.ip("link set eth0 up")
    elsewhere = named(world.one, name(world.one, 1, A, http_port=81))
    world.lab.apply(elsewhere)
    assert why(elsewhere) == "service"
    world.lab.apply(replace(spec, generation=3))
    pid = proxy.pid()
    assert pid
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: proxy.pid() is None)
    assert why() == "proxy"
