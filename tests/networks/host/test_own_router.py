"""Networks with a router of their own: the same subnet several times on one host."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from kvmweb.host.progress import Step, silent
from networks.host.case import explain
from networks.host.drivers import counters, namespaces
from networks.host.drivers.routers import dhcp_of, namespace_of, routers
from networks.host.explain.steps import Case, first_broken
from networks.host.facts import Looker
from networks.host.flows import Scope, ended, listed
from networks.host.leases import Leases
from networks.host.own_router import host_side
from networks.host.preview import network_preview
from networks.host.reconcile import Drift, NetworkReconciler
from networks.host.spec import EgressSpec, InboundSpec, NamesSpec, NetworkSpec
from networks.host.watch import Watcher
from tests.dns import NO_SUCH_NAME, OK, PTR, Told, ask, ask_tcp, serve
from tests.netns import Namespace, eventually
from tests.networks.host.lab import (
    OUTSIDE,
    PUBLIC,
    SECOND_PUBLIC,
    Lab,
    absent,
    assert_converges,
    forward,
    network,
    with_forwards,
)
from tests.networks.host.test_crash import killed, stopped
from tests.networks.host.test_dhcp import lease
from tests.networks.host.test_host_names import name, named
from tests.web import ask_http, serve_http

SAME = "10.61.0.0/24"


def owned(number: int, guests: int = 2, source: str | None = SECOND_PUBLIC) -> NetworkSpec:
    """Network `number` with a router of its own; they all have the subnet of network 1."""
    spec = network(number, guests, source)
    return replace(
        spec,
        subnet=SAME,
        gateway="10.61.0.1",
        transit=f"100.64.{number}.0/24",
        reservations=tuple(
            replace(each, address=each.address.replace(f"10.6{number}.", "10.61."))
            for each in spec.reservations
        ),
    )


@pytest.mark.pure
def test_the_host_knows_the_network_by_other_addresses() -> None:
    spec = owned(2, guests=1)
    spec = with_forwards(spec, forward(2, 1, spec.reservations[0]))
    outer = host_side(spec)
    assert (outer.bridge, outer.subnet, outer.gateway) == ("kw2-r", "100.64.2.0/24", "100.64.2.1")
    assert outer.reservations[0].address == outer.forwards[0].address == "100.64.2.2"
    assert outer.forwards[0].public_address == PUBLIC
    assert host_side(network(1)) == network(1)


@dataclass
class Pair:
    """Two networks with the same subnet, and one in the host's own namespace that has it too."""

    lab: Lab
    specs: list[NetworkSpec]
    guests: dict[str, Namespace]

    def guest(self, network: int, number: int) -> Namespace:
        return self.guests[f"{network}.{number}"]


@pytest.fixture
def pair(lab: Lab) -> Pair:
    """Guest 1 of each network is reached by port 800<network>, TCP and UDP, and shows who asks."""
    specs, guests = [], {}
    for number in (1, 2, 3):
        spec = network(1) if number == 1 else owned(number)
        target = spec.reservations[0]
        spec = with_forwards(
            spec,
            forward(number, 1, target, public_port=8000 + number),
            forward(number, 2, target, protocol="udp", public_port=8000 + number, port=7),
        )
        for at, each in enumerate(spec.reservations, 1):
            made = guests[f"{number}.{at}"] = lab.guest(each, spec)
            made.tcp_server(80)
            made.udp_server(7)
        lab.apply(spec)
        specs.append(spec)
    lab.internet.tcp_server(80)
    return Pair(lab, specs, guests)


@pytest.mark.kernel
def test_networks_with_one_subnet_live_side_by_side(pair: Pair) -> None:
    lab = pair.lab
    for number in (1, 2, 3):
        for at in (1, 2):
            assert pair.guest(number, at).ask_tcp(OUTSIDE, 80) == SECOND_PUBLIC
            assert pair.guest(number, at).pings("10.61.0.1")
        assert lab.internet.ask_tcp(PUBLIC, 8000 + number) == OUTSIDE
        assert lab.internet.ask_udp(PUBLIC, 8000 + number) == OUTSIDE
        assert lab.host.ask_tcp(PUBLIC, 8000 + number) == PUBLIC
        for source in pair.guests.values():
            assert source.ask_tcp(PUBLIC, 8000 + number) == SECOND_PUBLIC
            assert source.ask_udp(PUBLIC, 8000 + number) == SECOND_PUBLIC


@pytest.mark.kernel
def test_nobody_gets_to_a_guest_but_by_what_is_open(pair: Pair) -> None:
    """Its addresses, the one it has and the one the host knows, lead nowhere from elsewhere."""
    lab = pair.lab
    lab.internet.ip(f"route add 100.64.0.0/16 via {PUBLIC}")
    hidden = "100.64.2.3"
    for source in (lab.internet, pair.guest(1, 1), pair.guest(3, 1), pair.guest(2, 1)):
        assert not source.ask_tcp(hidden, 80, 0.5)
        assert not source.pings(hidden, 0.5)
    spied = {label: made.packets("eth0") for label, made in pair.guests.items()}
    assert pair.guest(2, 1).ask_tcp("10.61.0.3", 80) == "10.61.0.2"
    for label in ("1.2", "3.2"):
        assert not _hears_tcp(spied[label])
    for frames in spied.values():
        frames.close()


@pytest.mark.kernel
def test_the_host_is_closed_to_guests_by_all_its_addresses(pair: Pair) -> None:
    lab, guest = pair.lab, pair.guest(2, 1)
    lab.host.tcp_server(22)
    lab.host.tcp_server(53)
    for address in ("10.61.0.1", "100.64.2.1", PUBLIC):
        assert not guest.ask_tcp(address, 22, 0.2)
    assert not guest.ask_tcp("10.61.0.1", 53, 0.2)  # it was given no names
    guest.ip("neigh replace 10.61.0.1 lladdr 5a:00:00:00:00:02 dev eth0")
    for address in ("10.61.0.1", PUBLIC, OUTSIDE):
        assert not guest.ask_tcp(address, 22, 0.2)
        assert not guest.pings(address, 0.2)


@pytest.mark.kernel
def test_a_client_with_an_address_like_a_guests_is_served_all_the_same(pair: Pair) -> None:
    """Outside and on the host itself; the guest sees the host's end of the way instead."""
    lab = pair.lab
    lab.internet.ip("address add 10.61.0.77/32 dev eth0")
    lab.internet.ip(f"route add {PUBLIC}/32 dev eth0 src 10.61.0.77")
    lab.host.ip("route add 10.61.0.77/32 dev up0")
    assert lab.internet.ask_tcp(PUBLIC, 8002) == "100.64.2.1"
    assert lab.internet.ask_udp(PUBLIC, 8002) == "100.64.2.1"
    assert lab.internet.ask_tcp(PUBLIC, 8003) == "100.64.3.1"


@pytest.mark.kernel
def test_guests_are_told_what_they_need_and_resolve_their_own_names(lab: Lab) -> None:
    outside = serve(lab.internet, OUTSIDE, {"example.org": "198.51.100.77"}.get)
    specs = [
        replace(owned(number), names=NamesSpec(domain=f"net{number}.internal"), mtu=1400)
        for number in (2, 3)
    ]
    cables = [lab.cable(spec.reservations[0]) for spec in specs]
    guests = []
    for spec in specs:
        lab.apply(spec)
        guests.append(lab.guest(spec.reservations[1], spec))
    with lab.reconciler() as reconciler:
        for spec in specs:
            assert_converges(reconciler, spec)
    for number, cable, guest in zip((2, 3), cables, guests, strict=True):
        told = lease(lab, cable)
        assert (told["ip"], told["router"], told["dns"]) == ("10.61.0.2", "10.61.0.1", "10.61.0.1")
        assert (told["hostname"], told["mtu"]) == (f"guest{number}2", "1400")
        own, other = f"net{number}.internal", f"net{5 - number}.internal"
        assert ask(guest, "10.61.0.1", f"guest{number}2.{own}") == Told(OK, ("10.61.0.2",))
        assert ask_tcp(guest, "10.61.0.1", f"guest{number}2") == Told(OK, ("10.61.0.2",))
        assert ask(guest, "10.61.0.1", "2.0.61.10.in-addr.arpa", PTR) == Told(
            OK, (f"guest{number}2.{own}",)
        )
        assert ask(guest, "10.61.0.1", "99.0.61.10.in-addr.arpa", PTR) == Told(NO_SUCH_NAME)
        assert ask(guest, "10.61.0.1", f"guest{5 - number}2.{other}") == Told(NO_SUCH_NAME)
        assert ask(guest, "10.61.0.1", "example.org") == Told(OK, ("198.51.100.77",))
    assert not [name for name in outside if "arpa" in name]


@pytest.mark.kernel
def test_an_address_of_its_own_and_a_list_of_places_work_behind_the_router(lab: Lab) -> None:
    """1:1 NAT both ways with its firewall, and a network that may go to one port alone."""
    spec = owned(2, source=None)
    first, second = spec.reservations
    web = InboundSpec(cidr="0.0.0.0/0", protocol="tcp", first_port=80, last_port=80)
    whole = replace(
        forward(2, 1, first), protocol="all", public_address=SECOND_PUBLIC, source_nat=True
    )
    spec = with_forwards(
        replace(
            spec,
            reservations=(replace(first, inbound=(web,)), second),
            egress=(EgressSpec(cidr="0.0.0.0/0", protocol="tcp", first_port=80, last_port=80),),
        ),
        replace(whole, public_port=0, port=0),
    )
    guests = [lab.guest(each, spec) for each in (first, second)]
    for port in (80, 81):
        guests[0].tcp_server(port)
        lab.internet.tcp_server(port)
    lab.apply(spec)
    assert lab.internet.ask_tcp(SECOND_PUBLIC, 80) == OUTSIDE
    assert not lab.internet.ask_tcp(SECOND_PUBLIC, 81, 0.5)
    assert guests[0].ask_tcp(OUTSIDE, 80) == SECOND_PUBLIC
    assert guests[1].ask_tcp(OUTSIDE, 80) == PUBLIC
    assert not guests[1].ask_tcp(OUTSIDE, 81, 0.5)


@pytest.mark.kernel
def test_connections_are_shown_with_the_addresses_guests_know(pair: Pair) -> None:
    lab, spec = pair.lab, pair.specs[1]
    everything = Scope(network="")
    with lab.internet.connect(PUBLIC, 8002) as there, pair.guest(2, 2).connect(OUTSIDE, 80) as back:
        assert there.recv(99)
        assert back.recv(99)
        shown = lab.host.call(lambda: listed(spec, everything))
        ways = {each.direction: each for each in shown.flows}
        assert ways["in"].forward == "forward-2-1"
        came, went = ways["in"].flow, ways["out"].flow
        assert (came.source, came.destination, came.answers) == (OUTSIDE, PUBLIC, "10.61.0.2")
        assert (went.source, went.seen_as) == ("10.61.0.3", SECOND_PUBLIC)
        of_guest = Scope(network="", reservations=(spec.reservations[1].id,), search="10.61.0.3")
        assert lab.host.call(lambda: listed(spec, of_guest)).total == 1
        assert lab.host.call(lambda: listed(pair.specs[2], everything)).total == 0
        assert lab.host.call(lambda: ended(spec, Scope(network="", forward="forward-2-1"))) == 1
        back.sendall(b"kept")
        assert back.recv(99) == b"kept"


@pytest.mark.kernel
def test_why_names_what_is_broken_in_the_router(lab: Lab) -> None:
    spec = owned(2, guests=1)
    target = spec.reservations[0]
    way = forward(2, 1, target)
    spec = with_forwards(spec, way)
    guest = lab.guest(target, spec)
    guest.tcp_server(80)
    lab.internet.tcp_server(80)
    lab.apply(spec)
    looker = Looker(paths=lab.paths, resolv_files=(lab.resolv,))
    case = Case(network="", source=OUTSIDE)

    def why() -> str:
        steps = lab.host.call(lambda: looker.forward(spec, target, way, case))
        assert {step.key for step in steps} >= {"router", "arp", "service"}
        found = first_broken(steps)
        return found.key if found else ""

    def why_not_out() -> str:
        found = first_broken(lab.host.call(lambda: looker.outbound(spec, target)))
        return found.key if found else ""

    with guest.connect(OUTSIDE, 80) as held:
        assert held.recv(99)
        assert why() == why_not_out() == ""
        inside(lab, "kw2", "nft", "flush", "ruleset")
        assert why() == why_not_out() == "router"
    lab.apply(spec)
    guest.ip("address flush dev eth0")
    assert why() == "lease"
    guest.ip("address add 10.61.0.2/24 dev eth0")
    guest.ip("route add default via 10.61.0.1")
    guest.close_servers()
    assert why() == "service"


@pytest.mark.kernel
def test_what_is_routed_and_leased_is_told(lab: Lab) -> None:
    spec = owned(2, guests=1)
    guest = lab.cable(spec.reservations[0])
    lab.internet.tcp_server(80)
    lab.apply(spec)
    assert lease(lab, guest)["ip"] == "10.61.0.2"
    (told,) = Leases(lab.paths.run / "dnsmasq" / "leases", lab.paths.routers).news()
    assert [each["address"] for each in told["leases"]] == ["10.61.0.2"]
    guest.ip("address add 10.61.0.2/24 dev eth0")
    guest.ip("route add default via 10.61.0.1")
    before = lab.host.call(counters.bridges)
    assert guest.ask_tcp(OUTSIDE, 80) == SECOND_PUBLIC
    after = lab.host.call(counters.bridges)
    assert set(after) == {"kw2"}
    assert after["kw2"].inward > before["kw2"].inward
    assert after["kw2"].outward > before["kw2"].outward


@pytest.mark.kernel
def test_what_will_be_done_is_told_in_the_addresses_people_know(lab: Lab) -> None:
    spec = owned(2, guests=1)
    before = lab.host.run("ip", "link")
    spec = with_forwards(spec, forward(2, 1, spec.reservations[0]))
    with lab.reconciler() as reconciler:
        reconciler.apply(network(1), silent)
        ops, refused = reconciler.preview(spec)
        assert not refused
        assert "kw2" not in lab.host.run("ip", "link")
        preview = network_preview(None, spec, ops, {})
        said = [step.sentence for step in preview.steps]
        assert "Made a router for bridge kw2" in said
        assert any(f"Opened TCP {PUBLIC}:8080 to 10.61.0.2:80" in each for each in said)
        assert preview.guests == ("guest22",)
        assert_converges(reconciler, spec)
        done: list[Step] = []
        reconciler.apply(absent(spec), done.append)
        assert any(f"Closed TCP {PUBLIC}:8080 to 10.61.0.2:80" in step.sentence for step in done)
        reconciler.remove_all()
    assert lab.host.run("ip", "link") == before


@pytest.mark.kernel
def test_host_names_lead_to_guests_behind_a_router(lab: Lab) -> None:
    """With the same addresses twice, each name has its own guest; the host meets both."""
    closers = []
    for number in (2, 3):
        spec = owned(number, guests=1)
        guest = lab.guest(spec.reservations[0], spec)
        closers.append(serve_http(guest, f"web of {number}"))
        spec = named(spec, name(spec, number, f"n{number}.example.org", tls="off", tls_port=0))
        assert not lab.apply(spec).attention
    for number in (2, 3):
        status, text = ask_http(lab.internet, PUBLIC, f"n{number}.example.org")
        assert (status, text.splitlines()[0]) == (200, f"web of {number}")
    looker = Looker(paths=lab.paths, resolv_files=(lab.resolv,))
    case = Case(network=spec.subject, host_name=spec.host_names[0].id)
    assert first_broken(lab.host.call(lambda: explain(looker, lambda _: spec, case))) is None
    for close in closers:
        close()


@pytest.mark.kernel
def test_a_reset_that_finds_no_files_takes_the_cables_all_the_same(lab: Lab) -> None:
    lab.apply(owned(2))
    dhcp_of(lab.paths.routers, "kw2").stop()
    namespaces.remove(namespace_of(lab.paths.routers, "kw2"))
    shutil.rmtree(lab.paths.routers)
    with lab.reconciler() as reconciler:
        reconciler.remove_all()
    assert not [each for each in lab.host.ip("link") if each["ifname"].startswith("kw")]


@pytest.mark.kernel
def test_nothing_is_left_of_it(lab: Lab) -> None:
    kept, gone = owned(2), owned(3)
    for spec in (kept, gone):
        lab.apply(spec)
    lab.apply(absent(gone))
    assert not [each for each in lab.host.ip("link") if each["ifname"].startswith("kw3")]
    assert "kw3" not in lab.host.run("nft", "list", "ruleset")
    assert routers(lab.paths.routers) == ["kw2"]
    with lab.reconciler() as reconciler:
        assert reconciler.check(kept) == ()
        reconciler.remove_all()
    assert not [each for each in lab.host.ip("link") if each["ifname"].startswith("kw")]
    assert not lab.paths.routers.exists()
    assert str(lab.paths.routers) not in Path("/proc/self/mountinfo").read_text()
    assert not [
        file
        for file in Path("/proc").glob("[0-9]*/cmdline")
        if str(lab.paths.routers).encode() in _read(file)
    ]


@pytest.mark.kernel
@pytest.mark.parametrize("interrupt", [killed, stopped])
def test_all_that_is_done_survives_a_crash_after_any_op(
    lab: Lab, interrupt: Callable[[Lab, NetworkSpec, int], bool]
) -> None:
    """Making it, changing it, and taking it away, which leaves nothing."""
    other, spec = network(1), replace(owned(2), names=NamesSpec(domain="net2.internal"))
    first, second = spec.reservations
    spec = with_forwards(spec, forward(2, 1, first))
    changed = replace(
        with_forwards(spec, forward(2, 1, second), forward(2, 2, second, public_port=81)),
        mtu=1400,
        transit="100.64.9.0/24",
        reservations=(second,),
    )
    lab.cable(first)
    lab.apply(other)
    before = lab.host.run("ip", "link")
    for start, end, least in (
        (absent(spec), spec, 15),
        (spec, changed, 8),
        (changed, absent(spec), 4),
    ):
        at = 1
        lab.apply(start)
        while interrupt(lab, end, at):
            lab.apply(end)
            if not end.present:
                assert lab.host.run("ip", "link") == before
                assert routers(lab.paths.routers) == []
            lab.apply(start)
            at += 1
        assert at > least, end
    with lab.reconciler() as reconciler:
        assert reconciler.check(other) == ()


DAMAGE = {
    "nft flush ruleset": "Loaded the rules",
    "ip address flush dev kw2": "Set addresses and routes",
    "ip route delete default": "Set addresses and routes",
    "ip link set uplink down": "Set addresses and routes",
    "ip link delete kw2": "Connected the router of bridge kw2 to bridge kw2",
    "ip link delete uplink": "Connected the router of bridge kw2 to the host",
}


@pytest.mark.kernel
def test_damage_inside_is_noticed_and_repaired(lab: Lab) -> None:
    spec = owned(2, guests=1, source=None)
    guest = lab.guest(spec.reservations[0], spec)
    lab.internet.tcp_server(80)
    with watching(lab, spec) as (reconciler, found):
        for command, sentence in DAMAGE.items():
            found.clear()
            inside(lab, "kw2", *command.split())
            assert eventually(partial(_says, found, sentence), 10), command
            assert eventually(lambda: reconciler.check(spec) == (), 10)
            assert guest.ask_tcp(OUTSIDE, 80) == PUBLIC, command
        found.clear()
        os.kill(dhcp_of(lab.paths.routers, "kw2").pid() or 0, signal.SIGKILL)
        assert eventually(lambda: _says(found, "Started the DHCP service of the router"), 10)


@pytest.mark.kernel
def test_a_namespace_that_is_gone_is_made_again(lab: Lab) -> None:
    spec = owned(2, guests=1, source=None)
    guest = lab.guest(spec.reservations[0], spec)
    lab.internet.tcp_server(80)
    with watching(lab, spec) as (reconciler, found), guest.connect(OUTSIDE, 80) as held:
        assert held.recv(99)
        namespaces.remove(namespace_of(lab.paths.routers, "kw2"))
        dhcp_of(lab.paths.routers, "kw2").stop()
        # The watcher hears of it by the end of the DHCP server, and may be quicker.
        found.extend(reconciler.repair())
        assert eventually(partial(_says, found, "Made a router for bridge kw2"), 10)
        assert all(drift.repaired for drift in found)
        held.sendall(b"goes on")
        assert held.recv(99) == b"goes on"
        inside(lab, "kw2", "nft", "flush", "ruleset")
        assert eventually(lambda: reconciler.check(spec) == (), 10)


@pytest.mark.kernel
def test_a_namespace_whose_name_went_with_another_process_is_used_as_it_is(lab: Lab) -> None:
    """As where each process of the host has mounts of its own: nothing is cut and made again."""
    spec = owned(2, guests=1, source=None)
    guest = lab.guest(spec.reservations[0], spec)
    lab.internet.tcp_server(80)
    lab.apply(spec)
    kept = namespace_of(lab.paths.routers, "kw2")
    before = kept.stat().st_ino
    namespaces.remove(kept)
    with lab.reconciler() as reconciler:
        assert reconciler.check(spec) == ()
        assert_converges(reconciler, replace(spec, mtu=1400))
        lab.host.call(dhcp_of(lab.paths.routers, "kw2").start)
        assert namespace_of(lab.paths.routers, "kw2").stat().st_ino == before
        assert guest.ask_tcp(OUTSIDE, 80) == PUBLIC
        assert_converges(reconciler, absent(spec))
    assert not lab.paths.routers.joinpath("kw2").exists()
    assert not [each for each in lab.host.ip("link") if each["ifname"].startswith("kw2")]


@contextmanager
def watching(lab: Lab, spec: NetworkSpec) -> Iterator[tuple[NetworkReconciler, list[Drift]]]:
    found: list[Drift] = []
    with lab.reconciler() as reconciler:
        assert_converges(reconciler, spec)
        with lab.host.entered():
            watcher = Watcher(reconciler, found.append)
            watcher.start()
        try:
            yield reconciler, found
        finally:
            watcher.close()


def inside(lab: Lab, bridge: str, *command: str) -> None:
    """Run a program in a network's router."""

    def run() -> None:
        subprocess.run(command, check=True, capture_output=True)

    namespaces.within(namespace_of(lab.paths.routers, bridge), run)


def _says(found: list[Drift], sentence: str) -> bool:
    return any(line.startswith(sentence) for drift in found for line in drift.missing)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _hears_tcp(frames: socket.socket) -> bool:
    """Whether any frame with TCP came by."""
    frames.setblocking(False)
    while True:
        try:
            frame = frames.recv(2048)
        except BlockingIOError:
            return False
        if frame[12:14] == b"\x08\x00" and frame[23] == socket.IPPROTO_TCP:
            return True
