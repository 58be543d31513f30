"""Why?, of destinations, of guests reachable as a whole, of peers, and over IPv6."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from networks.host.case import explain
from networks.host.drivers import flowtable
from networks.host.drivers.dhcp import Dhcp
from networks.host.explain.steps import Case, Step
from networks.host.facts import Looker
from networks.host.ruleset import CONNECTIONS_PER_GUEST
from networks.host.spec import EgressSpec, InboundSpec, NetworkSpec, PeerSpec
from tests.netns import Namespace, eventually, veth
from tests.networks.host.breaking import Breaks, broken
from tests.networks.host.lab import OUTSIDE, PUBLIC, Lab, forward, network, with_forwards
from tests.networks.host.lab6 import (
    OUTSIDE6,
    PUBLIC6,
    boot,
    connect6,
    forward6,
    network6,
    settled,
)

pytestmark = pytest.mark.kernel


class World:
    """One guest with a web server and both families, behind a forward of IPv6."""

    def __init__(self, lab: Lab, plain: NetworkSpec) -> None:
        self.lab, self.host = lab, lab.host
        connect6(lab)
        self.forward = forward6(1, 1, plain.reservations[0])
        self.spec: NetworkSpec = with_forwards(plain, self.forward)
        self.specs: dict[str, NetworkSpec] = {}
        self.apply()
        self.guest: Namespace = lab.guest(self.spec.reservations[0], self.spec)
        self.apply()
        boot(self.guest)
        self.guest.ip(f"route replace default via {self.spec.gateway}")
        assert settled(self.guest, self.spec.reservations[0])
        self.guest.tcp_server(80)
        self.guest.tcp_server(80, "::")

    def apply(self, spec: NetworkSpec | None = None) -> NetworkSpec:
        found = spec or self.spec
        self.lab.apply(found)
        self.specs[found.subject] = found
        return found

    @contextmanager
    def applied(self, spec: NetworkSpec) -> Iterator[NetworkSpec]:
        try:
            yield self.apply(spec)
        finally:
            self.apply()

    def why(self, **asked: object) -> tuple[Step, ...]:
        case = Case(network=self.spec.subject, **asked)  # type: ignore[arg-type]
        looker = Looker(paths=self.lab.paths, resolv_files=(self.lab.resolv,))
        return self.host.call(lambda: explain(looker, self.specs.get, case))

    def why_guest(self, **asked: object) -> str:
        return broken(self.why(reservation=self.spec.reservations[0].id, **asked))

    def why_forward(self) -> str:
        return broken(self.why(forward=self.forward.id, source=OUTSIDE6))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    lab = Lab(tmp_path_factory.mktemp("ways"))
    try:
        yield World(lab, network6(guests=1))
    finally:
        lab.close()


breaks = Breaks[World]()


@breaks("address")
def the_public_address_is_gone(world: World) -> Iterator[None]:
    world.host.ip(f"-6 address del {PUBLIC6}/64 dev up0")
    world.lab.internet.ip("-6 neigh flush dev eth0")
    yield
    world.host.ip(f"-6 address add {PUBLIC6}/64 dev up0 nodad")


@breaks("dnat")
def the_forward_is_not_in_the_kernel(world: World) -> Iterator[None]:
    key = f"{PUBLIC6} . tcp . {world.forward.public_port}"
    world.host.run("nft", f"delete element inet kvmweb fwd6 {{ {key} }}")
    yield
    world.apply()


@breaks("bridge")
def the_bridge_lost_its_address(world: World) -> Iterator[None]:
    world.host.ip(f"-6 address del {world.spec.gateway6}/64 dev kw1")
    yield
    world.apply()


@breaks("forwarding")
def the_host_does_not_forward(world: World) -> Iterator[None]:
    world.host.sysctl("ipv6/conf/all/forwarding", "0")
    yield
    world.apply()
    world.host.ip(f"-6 route replace default via {OUTSIDE6}")


@breaks("chain:ip6 filter FORWARD")
def ip6tables_drops(world: World) -> Iterator[None]:
    world.host.run("ip6tables-nft", "-P", "FORWARD", "DROP")
    rule = ("-m", "conntrack", "--ctstate", "ESTABLISHED", "-j", "ACCEPT")
    world.host.run("ip6tables-nft", "-A", "FORWARD", *rule)
    yield
    world.host.nft("delete table ip6 filter")


@breaks("tied")
def the_guest_is_not_tied_to_its_address(world: World) -> Iterator[None]:
    guest = world.spec.reservations[0]
    own = f"{{ {guest.port} . {guest.mac} . {guest.address6} }}"
    world.host.run("nft", f"delete element bridge kvmweb own6 {own}")
    yield
    world.apply()


@contextmanager
def without_address(world: World) -> Iterator[None]:
    guest = world.spec.reservations[0]
    world.guest.sysctl("ipv6/conf/eth0/accept_ra", "0")
    world.guest.ip(f"-6 address del {guest.address6}/64 dev eth0")
    yield
    world.guest.sysctl("ipv6/conf/eth0/accept_ra", "1")
    boot(world.guest)
    world.guest.ip(f"route replace default via {world.spec.gateway}")
    assert settled(world.guest, guest)


@breaks("slaac")
def the_guest_has_another_address(world: World) -> Iterator[None]:
    with without_address(world):
        yield


@breaks("slaac")
def the_guest_does_not_speak_ipv6(world: World) -> Iterator[None]:
    world.guest.sysctl("ipv6/conf/eth0/disable_ipv6", "1")
    yield
    world.guest.sysctl("ipv6/conf/eth0/disable_ipv6", "0")
    boot(world.guest)
    world.guest.ip(f"route replace default via {world.spec.gateway}")
    assert settled(world.guest, world.spec.reservations[0])


@breaks("ra")
def nobody_announces_the_prefix(world: World) -> Iterator[None]:
    dhcp = Dhcp(world.lab.paths.run / "dnsmasq")
    pid = dhcp.pid()
    assert pid
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: dhcp.pid() is None)
    world.guest.ip(f"-6 address del {world.spec.reservations[0].address6}/64 dev eth0")
    yield
    world.apply()
    boot(world.guest)
    world.guest.ip(f"route replace default via {world.spec.gateway}")
    assert settled(world.guest, world.spec.reservations[0])


@breaks("service")
def nothing_listens_in_the_guest(world: World) -> Iterator[None]:
    world.guest.close_servers()
    yield
    world.guest.tcp_server(80)
    world.guest.tcp_server(80, "::")


@pytest.mark.parametrize("what", list(breaks))
def test_what_is_broken_over_ipv6_is_what_is_named(world: World, what: str) -> None:
    port = world.forward.public_port
    assert world.lab.internet.ask_tcp(PUBLIC6, port) == OUTSIDE6
    assert world.why_forward() == ""
    with breaks.of(world, what) as key:
        assert world.why_forward() == key
        assert world.lab.internet.ask_tcp(PUBLIC6, port, 0.3) != OUTSIDE6
    assert world.why_forward() == ""


def test_the_way_out_over_ipv6_is_told(world: World) -> None:
    world.lab.internet.tcp_server(81, "::")
    assert world.guest.ask_tcp(OUTSIDE6, 81)
    assert world.why_guest(destination=OUTSIDE6, port=81) == ""
    world.host.run("nft", "delete element inet kvmweb snat6 { kw1 }")
    assert world.why_guest(destination=OUTSIDE6, port=81) == "nat"
    assert world.why_guest(destination=OUTSIDE, port=81) == ""
    world.apply()
    world.lab.internet.close_servers()


def test_a_destination_that_is_not_listed_is_named(world: World) -> None:
    web = EgressSpec(cidr=f"{OUTSIDE}/32", protocol="tcp", first_port=80, last_port=80)
    with world.applied(replace(world.spec, egress=(web,))):
        assert world.why_guest(destination=OUTSIDE, port=80) == ""
        assert world.why_guest(destination=OUTSIDE, port=81) == "egress"
        assert world.why_guest(destination=OUTSIDE, port=80, protocol="udp") == "egress"
        assert world.why_guest(destination=OUTSIDE6, port=80) == "egress"
        assert world.why_guest() == ""


def test_a_guest_that_has_begun_too_much_is_told_so(world: World) -> None:
    try:
        with world.guest.udp_socket() as sender:
            for port in range(10_000, 10_000 + CONNECTIONS_PER_GUEST + 200):
                sender.sendto(b"", (OUTSIDE, port))
        assert world.why_guest() == "share"
    finally:
        address = world.spec.reservations[0].address
        world.host.call(lambda: flowtable.end(flowtable.of_guest(address)))
    assert world.why_guest() == ""


def test_a_routed_guest_is_closed_but_for_its_rules(world: World) -> None:
    assert world.why_guest(way="in") == "whole"
    rule = InboundSpec(cidr=f"{OUTSIDE}/32", protocol="tcp", first_port=80, last_port=80)
    routed = replace(world.spec, mode="routed", source_address=None, forwards=())
    with world.applied(routed):
        assert world.why_guest(way="in", source=OUTSIDE, port=80) == "inbound"
        assert world.why_guest(way="in") == "inbound"
    with world.applied(replace(routed, inbound=(rule,))):
        asked = {"way": "in", "source": OUTSIDE}
        assert world.why_guest(**asked, port=80) == ""
        assert world.why_guest(**asked, port=81) == "inbound"
        assert world.why_guest(way="in", source="198.51.100.9", port=80) == "inbound"
        assert world.why_guest(**asked, port=80, protocol="icmp") == "inbound"
        place = f"{{ {world.spec.reservations[0].address} . tcp . 80 . {OUTSIDE} }}"
        world.host.run("nft", f"delete element inet kvmweb open_ports {place}")
        assert world.why_guest(**asked, port=80) == "tied"


def test_a_routed_guest_is_told_of_over_ipv6(lab: Lab) -> None:
    rule = InboundSpec(cidr="2001:db8::/64", protocol="tcp", first_port=80, last_port=80)
    world = World(lab, replace(network6(guests=1, ipv6="routed"), inbound=(rule,)))
    assert world.why_guest(way="in", source=OUTSIDE6, port=80) == ""
    assert world.why_guest(way="in", source=OUTSIDE6, port=81) == "inbound"
    assert lab.internet.ask_tcp(world.spec.reservations[0].address6, 80) == OUTSIDE6


def test_a_whole_address_is_asked_by_port_and_its_rules_named(world: World) -> None:
    whole = replace(
        forward(1, 6, world.spec.reservations[0], public_port=0, port=0), protocol="all"
    )
    rule = InboundSpec(cidr="0.0.0.0/0", protocol="tcp", first_port=80, last_port=80)
    with world.applied(replace(with_forwards(world.spec, whole), inbound=(rule,))):
        asked = {"forward": whole.id, "source": OUTSIDE}
        assert world.lab.internet.ask_tcp(PUBLIC, 80) == OUTSIDE
        assert broken(world.why(**asked, public_port=80)) == ""
        assert broken(world.why(**asked, public_port=81)) == "inbound"


def test_the_half_of_a_pair_that_is_missing_is_named(world: World) -> None:
    one = replace(world.spec, peers=(PeerSpec(bridge="kw2", subnet="10.62.0.0/24"),))
    alone = network(2, guests=0)
    other = replace(alone, peers=(PeerSpec(bridge="kw1", subnet="10.61.0.0/24"),))
    with world.applied(one):
        assert broken(world.why(peer=other.subject)) == "told"
        world.apply(alone)
        assert broken(world.why(peer=other.subject)) == "half:net2"
        world.apply(replace(other, generation=2))
        assert broken(world.why(peer=other.subject)) == ""
        world.host.run("nft", "delete element inet kvmweb pairs { kw2 . kw1 }")
        assert broken(world.why(peer=other.subject)) == "kernel:peer"
        world.apply(replace(other, generation=3))
        world.host.ip("link set kw2 down")
        assert broken(world.why(peer=other.subject)) == "bridge"
        world.apply(replace(other, generation=4))
        world.host.run("nft", "delete element inet kvmweb pairs { kw1 . kw2 }")
        assert broken(world.why(peer=other.subject)) == "kernel"
        world.apply(one)
    assert broken(world.why(peer=other.subject)) == "half:net1"


def test_peers_are_told_of_over_ipv6_too(world: World) -> None:
    pair = [PeerSpec(bridge=b, subnet=f"10.6{b[2]}.0.0/24") for b in ("kw1", "kw2")]
    one = replace(world.spec, peers=(pair[1],))
    other = replace(network6(2, guests=0), peers=(pair[0],))
    with world.applied(one):
        world.apply(other)
        steps = world.why(peer=other.subject)
        assert broken(steps) == ""
        assert [step.key for step in steps if step.key.startswith("bridge")] == [
            *("bridge", "bridge"),
            *("bridge:6", "bridge:6"),
        ]
        world.host.ip(f"-6 address del {other.gateway6}/64 dev kw2")
        assert broken(world.why(peer=other.subject)) == "bridge:6"
        world.apply(replace(other, generation=2))
        breaking = ip6tables_drops(world)
        next(breaking)
        assert broken(world.why(peer=other.subject)) == "chain:ip6 filter FORWARD:6"
        next(breaking, None)
        world.apply(replace(other, generation=3, ipv6="off", subnet6="", gateway6=""))
        assert not [step for step in world.why(peer=other.subject) if step.key.endswith(":6")]


def test_who_answers_for_anothers_ipv6_address_and_a_network_without_are_named(
    world: World,
) -> None:
    guest = world.spec.reservations[0]
    with world.lab.namespace("other") as other, without_address(world):
        veth(world.host, "px0", other, "eth0", "52:00:00:00:01:99")
        other.ip(f"-6 address add {guest.address6}/64 dev eth0 nodad")
        world.host.ip("link set px0 master kw1")
        assert eventually(lambda: world.why_forward() == "nd", 20)
        world.host.ip("link del px0")
    # The host still believes the other, until it asks again.
    world.host.ip("-6 neigh flush dev kw1")
    assert world.lab.internet.ask_tcp(PUBLIC6, world.forward.public_port) == OUTSIDE6
    plain = replace(world.spec, ipv6="off", subnet6="", gateway6="", source_address6=None)
    world.specs[plain.subject] = plain
    assert world.why_guest(destination=OUTSIDE6) == "family"
    world.specs[plain.subject] = world.spec
