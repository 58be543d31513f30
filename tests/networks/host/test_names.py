"""Names of guests, asked for by real guests of a real name server."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from networks.host.ops import StartNames, WriteZone
from networks.host.reconcile import Drift
from networks.host.spec import NamesSpec, NetworkSpec
from networks.host.watch import Watcher
from tests.dns import (
    NO_SUCH_NAME,
    OK,
    PTR,
    REFUSED,
    SILENCE,
    Told,
    ask,
    ask_tcp,
    serve,
)
from tests.netns import Namespace, eventually
from tests.networks.host.lab import OUTSIDE, PUBLIC, Lab, absent, assert_converges, network
from tests.networks.host.test_dhcp import lease

pytestmark = pytest.mark.kernel

NOWHERE = Told(NO_SUCH_NAME)


def named(number: int, guests: int = 2, **fields: object) -> NetworkSpec:
    """Network `number`, whose guests are guest<number>2 and so on in net<number>.internal."""
    names = NamesSpec(domain=f"net{number}.internal")
    return replace(network(number, guests), names=names, **fields)  # type: ignore[arg-type]


def server(lab: Lab) -> int:
    return int((lab.paths.run / "names" / "pid").read_text())


def test_a_guest_resolves_its_neighbours_and_nobody_elses(lab: Lab) -> None:
    outside = serve(lab.internet, OUTSIDE, {"example.org": "198.51.100.77"}.get)
    specs = [named(1), named(2)]
    guests = [lab.guest(spec.reservations[0], spec) for spec in specs]
    for spec in specs:
        lab.apply(spec)
    for guest, own, other in ((guests[0], 1, 2), (guests[1], 2, 1)):
        gateway = f"10.6{own}.0.1"
        sibling = f"10.6{own}.0.3"
        assert ask(guest, gateway, f"guest{own}3.net{own}.internal") == Told(OK, (sibling,))
        assert ask(guest, gateway, f"GUEST{own}3.Net{own}.Internal") == Told(OK, (sibling,))
        assert ask(guest, gateway, f"guest{own}3") == Told(OK, (sibling,))
        assert ask(guest, gateway, f"3.0.6{own}.10.in-addr.arpa", PTR) == Told(
            OK, (f"guest{own}3.net{own}.internal",)
        )
        assert ask(guest, gateway, f"guest{other}3.net{other}.internal") == NOWHERE
        assert ask(guest, gateway, f"guest{other}3") == NOWHERE
        assert ask(guest, gateway, f"nobody.net{own}.internal") == NOWHERE
        assert ask(guest, gateway, f"9.0.6{own}.10.in-addr.arpa", PTR) == NOWHERE
        assert ask(guest, gateway, "example.org") == Told(OK, ("198.51.100.77",))
        assert ask_tcp(guest, gateway, "example.org") == Told(OK, ("198.51.100.77",))
        assert ask_tcp(guest, gateway, f"guest{own}3") == Told(OK, (sibling,))
    own_names = ("guest13.net1", "guest23.net2")
    assert "guest13.net1.internal" in outside  # asked for in network 2, where it is nobody's
    assert not any(name.endswith("in-addr.arpa") for name in outside), own_names


def test_the_server_is_reached_by_guests_of_its_network_alone(lab: Lab) -> None:
    specs = [named(1), named(2)]
    guest = lab.guest(specs[0].reservations[0], specs[0])
    for spec in specs:
        lab.apply(spec)
    assert ask(guest, "10.61.0.1", "guest13").code == OK
    assert ask(guest, "10.62.0.1", "guest23", seconds=0.5) == SILENCE
    assert ask(guest, PUBLIC, "guest23", seconds=0.5) == SILENCE
    lab.internet.ip(f"route add 10.61.0.0/24 via {PUBLIC}")
    assert ask(lab.internet, "10.61.0.1", "guest13", seconds=0.5) == SILENCE
    assert ask(lab.internet, PUBLIC, "guest13", seconds=0.5) == SILENCE


def test_dhcp_tells_the_server_and_the_domain_to_search(lab: Lab, etc: Path) -> None:
    """The guest's own C library finds a neighbour by its bare name."""
    spec = named(1)
    guest = lab.cable(spec.reservations[0])
    lab.apply(spec)
    told = lease(lab, guest)
    assert (told["dns"], told["domain"], told["search"]) == (
        "10.61.0.1",
        "net1.internal",
        "net1.internal",
    )
    guest.ip(f"address add {told['ip']}/24 dev eth0")
    folder = etc / guest.name
    folder.mkdir()
    (folder / "resolv.conf").write_text("nameserver 10.61.0.1\nsearch net1.internal\n")
    found = guest.run("ip", "netns", "exec", guest.name, "getent", "hosts", "guest13")
    assert found.split() == ["10.61.0.3", "guest13.net1.internal"]


@pytest.fixture
def etc() -> Iterator[Path]:
    """Where `ip netns exec` finds the files of a namespace's own /etc."""
    folder = Path("/etc/netns")
    folder.mkdir(exist_ok=True)
    before = set(folder.iterdir())
    yield folder
    for made in set(folder.iterdir()) - before:
        (made / "resolv.conf").unlink(missing_ok=True)
        made.rmdir()


def test_an_isolated_network_resolves_itself_and_asks_nobody(lab: Lab) -> None:
    outside = serve(lab.internet, OUTSIDE, {"example.org": "198.51.100.77"}.get)
    spec = named(1, mode="isolated")
    guest = lab.guest(spec.reservations[0], spec)
    lab.apply(spec)
    assert ask(guest, "10.61.0.1", "guest13") == Told(OK, ("10.61.0.3",))
    assert ask(guest, "10.61.0.1", "example.org") == Told(REFUSED)
    assert ask_tcp(guest, "10.61.0.1", "example.org") == Told(REFUSED)
    assert outside == []


def test_a_network_has_upstream_servers_of_its_own_choice(lab: Lab) -> None:
    lab.internet.ip("address add 198.51.100.2/24 dev eth0")
    serve(lab.internet, OUTSIDE, lambda _: "198.51.100.71")
    serve(lab.internet, "198.51.100.2", lambda _: "198.51.100.72")
    first, second = named(1), named(2)
    second = replace(
        second, names=NamesSpec(domain="net2.internal", upstreams=("10.61.0.2", "198.51.100.2"))
    )
    other = lab.guest(first.reservations[0], first)
    guest = lab.guest(second.reservations[0], second)
    for spec in (first, second):
        lab.apply(spec)
    asked = serve(other, "10.61.0.2", lambda _: "198.51.100.73")
    assert ask(guest, "10.62.0.1", "example.org") == Told(OK, ("198.51.100.72",))
    assert ask(other, "10.61.0.1", "example.org") == Told(OK, ("198.51.100.71",))
    assert asked == []  # the first choice of network 2 lies in network 1


def test_a_stub_on_the_hosts_own_loopback_is_asked(lab: Lab) -> None:
    serve(lab.host, "127.0.0.53", lambda _: "198.51.100.74")
    spec = named(1)
    guest = lab.guest(spec.reservations[0], spec)
    lab.apply(spec)
    assert ask(guest, "10.61.0.1", "example.org") == Told(OK, ("198.51.100.74",))
    lab.host.close_servers()
    serve(lab.internet, OUTSIDE, lambda _: "198.51.100.75")
    assert ask(guest, "10.61.0.1", "example.org") == Told(OK, ("198.51.100.75",))


def test_names_change_under_a_guest_that_never_stops_asking(lab: Lab) -> None:
    serve(lab.internet, OUTSIDE, {"example.org": "198.51.100.77"}.get)
    spec = named(1, guests=3)
    guest = lab.guest(spec.reservations[0], spec)
    lab.apply(spec)
    process = server(lab)
    with _asking(guest, "guest12", "example.org") as heard:
        for number in range(20):
            last = spec.reservations[2]
            changed = replace(last, hostname=f"new{number}", address=f"10.61.0.{50 + number}")
            lab.apply(replace(spec, reservations=(*spec.reservations[:2], changed)))
            expected = Told(OK, (changed.address,))
            assert eventually(lambda n=number, e=expected: _tells(guest, f"new{n}", e))  # type: ignore[misc]
        assert ask(guest, "10.61.0.1", "new3") == NOWHERE
        lab.apply(named(2))
        lab.apply(absent(named(2)))
    assert heard == {Told(OK, ("10.61.0.2",)), Told(OK, ("198.51.100.77",))}
    assert server(lab) == process


@contextmanager
def _asking(guest: Namespace, *names: str) -> Iterator[set[Told]]:
    """A guest that asks all the time; what it was told is complete when the context ends."""
    heard: set[Told] = set()
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            heard.update(ask(guest, "10.61.0.1", name) for name in names)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield heard
    finally:
        over.set()
        thread.join()


def _tells(guest: Namespace, name: str, expected: Told) -> bool:
    return ask(guest, "10.61.0.1", name) == expected


def test_without_names_no_other_server_of_the_host_is_reached(lab: Lab) -> None:
    spec = named(1)
    guest = lab.guest(spec.reservations[0], spec)
    lab.apply(spec)
    assert ask(guest, "10.61.0.1", "guest13").code == OK
    lab.apply(replace(spec, names=None))
    assert eventually(lambda: ask(guest, "10.61.0.1", "guest13", seconds=0.5) == SILENCE)
    serve(lab.host, "0.0.0.0", lambda _: "198.51.100.74")  # noqa: S104
    assert ask(lab.host, "10.61.0.1", "guest13").code == OK
    assert ask(guest, "10.61.0.1", "guest13", seconds=0.5) == SILENCE


def test_where_the_host_has_port_53_itself_guests_are_sent_upstream(lab: Lab) -> None:
    serve(lab.host, "0.0.0.0", lambda _: "198.51.100.74")  # noqa: S104
    spec = named(1)
    guest = lab.cable(spec.reservations[0])
    outcome = lab.apply(spec)
    assert list(outcome.attention) == ["names"]
    assert lease(lab, guest)["dns"] == OUTSIDE
    lab.host.close_servers()
    assert lab.apply(spec).attention == {}
    assert eventually(lambda: lease(lab, guest)["dns"] == "10.61.0.1")


def test_the_server_outlives_the_worker_and_is_adopted(lab: Lab) -> None:
    lab.apply(named(1))
    process = server(lab)
    with lab.reconciler() as reconciler:
        assert reconciler.check(named(1)) == ()
        assert_converges(reconciler, named(2))
    assert server(lab) == process
    status = Path(f"/proc/{process}/status").read_text()
    assert "CapEff:\t0000000000000400" in status  # CAP_NET_BIND_SERVICE alone


def test_a_server_that_ends_is_started_again_at_once(lab: Lab) -> None:
    spec = named(1)
    guest = lab.guest(spec.reservations[0], spec)
    found: list[Drift] = []
    with lab.reconciler() as reconciler:
        assert_converges(reconciler, spec)
        with lab.host.entered():
            watcher = Watcher(reconciler, found.append)
            watcher.start()
        try:
            os.kill(server(lab), signal.SIGKILL)
            assert eventually(lambda: bool(found))
            assert found[0].missing == (StartNames().sentence,)
            assert ask(guest, "10.61.0.1", "guest13").code == OK
            lab.host.ip("link delete kw1")
            assert eventually(lambda: len(found) == 2)
            assert ask(guest, "10.61.0.1", "guest13").code == OK
        finally:
            watcher.close()


def test_a_zone_that_somebody_changed_is_put_right(lab: Lab) -> None:
    spec = named(1)
    lab.apply(spec)
    file = lab.paths.run / "names" / "zones" / "kw1"
    text = file.read_text()
    file.write_text("{}")
    with lab.reconciler() as reconciler:
        assert reconciler.check(spec) == (WriteZone("kw1", text),)
        assert_converges(reconciler, spec)
    assert file.read_text() == text


def test_a_removed_network_leaves_no_names_and_a_reset_no_server(lab: Lab) -> None:
    spec = named(1)
    lab.apply(spec)
    lab.apply(absent(spec))
    assert list((lab.paths.run / "names" / "zones").iterdir()) == []
    with lab.reconciler() as reconciler:
        reconciler.remove_all()
    assert lab.host.pids() == []
    assert not (lab.paths.run / "names").exists()
