"""Where guests may go and who may come to them, by the network's settings: with packets."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from networks.host.spec import EgressSpec, ForwardSpec, InboundSpec, NetworkSpec, PeerSpec
from tests.netns import DEADLINE, Namespace, ask, veth
from tests.networks.host.lab import (
    OUTSIDE,
    PUBLIC,
    SECOND_PUBLIC,
    Lab,
    absent,
    forward,
    network,
    with_forwards,
)
from tests.networks.host.test_dhcp import lease

pytestmark = pytest.mark.kernel

BRIEF = 0.4
ANYBODY = (InboundSpec(cidr="0.0.0.0/0"),)
POOL = (PUBLIC, SECOND_PUBLIC)
ONE_AND_TWO = {
    1: PeerSpec(bridge="kw1", subnet="10.61.0.0/24"),
    2: PeerSpec(bridge="kw2", subnet="10.62.0.0/24"),
}


class Site:
    """Networks on one host, each applied as a test says, with a guest on every reservation."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        lab.internet.tcp_server(80)
        lab.internet.tcp_server(443)
        lab.internet.udp_server(7)

    def guests(self, spec: NetworkSpec) -> list[Namespace]:
        """The guests of a network, each answering TCP 80 and UDP 7."""
        made = [self.lab.guest(reservation, spec) for reservation in spec.reservations]
        for guest in made:
            guest.tcp_server(80)
            guest.udp_server(7)
        return made

    def apply(self, spec: NetworkSpec, *forwards: ForwardSpec) -> None:
        self.lab.apply(with_forwards(spec, *forwards))


@pytest.fixture
def site(lab: Lab) -> Site:
    return Site(lab)


def test_every_guest_of_a_pool_keeps_its_address_for_all_it_does(site: Site) -> None:
    spec = replace(network(guests=6), source_pool=POOL)
    guests = site.guests(spec)
    site.apply(spec)
    seen = [guest.ask_tcp(OUTSIDE, 80) for guest in guests]
    assert set(seen) == set(POOL)
    for guest, address in zip(guests, seen, strict=True):
        assert guest.ask_udp(OUTSIDE, 7) == address
        assert guest.ask_tcp(OUTSIDE, 443) == address

    site.apply(replace(spec, source_pool=(SECOND_PUBLIC,)))
    assert {guest.ask_tcp(OUTSIDE, 80) for guest in guests} == {SECOND_PUBLIC}


def test_leaving_a_pool_ends_only_what_went_out_by_that_address(site: Site) -> None:
    spec = replace(network(guests=6), source_pool=POOL)
    guests = site.guests(spec)
    site.apply(spec, forward(1, 1, spec.reservations[0]))
    open_ones = {guest: guest.connect(OUTSIDE, 80) for guest in guests}
    seen = {guest: each.recv(100).decode() for guest, each in open_ones.items()}
    with site.lab.internet.connect(PUBLIC, 8080) as forwarded:
        assert forwarded.recv(100)
        site.apply(replace(spec, source_pool=(SECOND_PUBLIC,)), forward(1, 1, spec.reservations[0]))
        assert _echoes(forwarded)
    for guest, connection in open_ones.items():
        with connection:
            if seen[guest] == SECOND_PUBLIC:
                assert _echoes(connection)
            else:
                assert not _echoes(connection, BRIEF)


def test_guests_of_a_routed_network_are_themselves_both_ways(site: Site) -> None:
    spec = _public(network(guests=1))
    (guest,) = site.guests(spec)
    address = spec.reservations[0].address
    site.lab.internet.ip(f"route add {spec.subnet} via {PUBLIC}")
    site.apply(spec, forward(1, 1, spec.reservations[0]))
    assert guest.ask_tcp(OUTSIDE, 80) == address
    assert site.lab.internet.ask_tcp(address, 80) == OUTSIDE
    assert site.lab.internet.ask_udp(address, 7) == OUTSIDE
    assert site.lab.internet.ask_tcp(PUBLIC, 8080) == OUTSIDE


def test_a_public_subnet_is_served_by_dhcp(site: Site) -> None:
    spec = _public(network(guests=1))
    guest = site.lab.cable(spec.reservations[0])
    site.apply(spec)
    told = lease(site.lab, guest)
    assert (told["ip"], told["mask"], told["router"]) == ("198.18.5.2", "28", "198.18.5.1")


def test_a_network_changes_its_mode_and_ends_only_what_that_forbids(site: Site) -> None:
    spec = network(guests=2)
    (guest, sibling) = site.guests(spec)
    first = spec.reservations[0]
    internet = site.lab.internet
    internet.ip(f"route add {spec.subnet} via {PUBLIC}")
    site.apply(spec)
    assert internet.ask_tcp(first.address, 80, BRIEF) == ""
    with (
        guest.connect(spec.reservations[1].address, 80) as inside,
        guest.connect(OUTSIDE, 80) as out,
    ):
        assert inside.recv(100)
        assert out.recv(100).decode() == SECOND_PUBLIC
        site.apply(replace(spec, mode="routed", inbound=ANYBODY))
        assert guest.ask_tcp(OUTSIDE, 80) == first.address
        assert not _echoes(out, BRIEF)
        with internet.connect(first.address, 80) as coming, guest.connect(OUTSIDE, 80) as going:
            assert coming.recv(100).decode() == OUTSIDE
            assert going.recv(100)
            site.apply(spec)
            assert not _echoes(coming, BRIEF)
            assert not _echoes(going, BRIEF)
        site.apply(replace(spec, mode="isolated"))
        assert guest.ask_tcp(OUTSIDE, 80, BRIEF) == ""
        assert _echoes(inside)
    assert sibling.ask_tcp(first.address, 80)


def test_guests_go_only_where_their_network_lists(site: Site) -> None:
    other = network(2, guests=1)
    spec = replace(
        network(guests=1),
        egress=(
            EgressSpec(cidr=f"{OUTSIDE}/32", protocol="tcp", first_port=80, last_port=90),
            EgressSpec(cidr=f"{OUTSIDE}/32", protocol="icmp"),
            EgressSpec(cidr=f"{PUBLIC}/32", protocol="tcp", first_port=8082, last_port=8082),
        ),
    )
    (guest,), _ = site.guests(spec), site.guests(other)
    target = other.reservations[0]
    site.apply(
        other, forward(2, 1, target, public_port=8082), forward(2, 2, target, public_port=8083)
    )
    site.apply(spec)
    assert guest.ask_tcp(OUTSIDE, 80) == SECOND_PUBLIC
    assert guest.pings(OUTSIDE)
    assert guest.ask_tcp(OUTSIDE, 443, BRIEF) == ""
    assert guest.ask_udp(OUTSIDE, 7, BRIEF) == ""
    assert guest.ask_tcp(PUBLIC, 8082) == SECOND_PUBLIC
    assert guest.ask_tcp(PUBLIC, 8083, BRIEF) == ""

    site.apply(replace(spec, egress=None))
    assert guest.ask_tcp(PUBLIC, 8083) == SECOND_PUBLIC
    assert guest.ask_tcp(OUTSIDE, 443) == SECOND_PUBLIC


def test_narrowing_a_list_ends_exactly_what_it_no_longer_has(site: Site) -> None:
    spec = network(guests=1)
    (guest,) = site.guests(spec)
    only_web = (EgressSpec(cidr="0.0.0.0/0", protocol="tcp", first_port=80, last_port=80),)
    site.apply(spec, forward(1, 1, spec.reservations[0]))
    web, tls = guest.connect(OUTSIDE, 80), guest.connect(OUTSIDE, 443)
    forwarded = site.lab.internet.connect(PUBLIC, 8080)
    from_host = site.lab.host.connect(spec.reservations[0].address, 80)
    with web, tls, forwarded, from_host, guest.udp_socket() as datagrams:
        assert all(each.recv(100) for each in (web, tls, forwarded, from_host))
        assert ask(datagrams, OUTSIDE, 7) == SECOND_PUBLIC
        site.apply(replace(spec, egress=only_web), forward(1, 1, spec.reservations[0]))
        assert _echoes(web)
        assert _echoes(forwarded)
        assert _echoes(from_host)
        assert not _echoes(tls, BRIEF)
        assert ask(datagrams, OUTSIDE, 7, BRIEF) == ""


def test_networks_reach_each_other_only_while_both_agree(site: Site) -> None:
    one, two = network(1, guests=1), network(2, guests=1)
    both = {1: replace(one, peers=(ONE_AND_TWO[2],)), 2: replace(two, peers=(ONE_AND_TWO[1],))}
    (a,), (b,) = site.guests(one), site.guests(two)
    a_address, b_address = (spec.reservations[0].address for spec in (one, two))
    site.apply(both[1])
    site.apply(two)
    assert a.ask_tcp(b_address, 80, BRIEF) == b.ask_tcp(a_address, 80, BRIEF) == ""
    site.apply(both[2])
    assert a.ask_tcp(b_address, 80) == a_address
    assert b.ask_udp(a_address, 7) == b_address
    with (
        a.connect(b_address, 80) as there,
        b.connect(a_address, 80) as back,
        a.connect(OUTSIDE, 80) as out,
    ):
        assert all(each.recv(100) for each in (there, back, out))
        site.apply(two)
        assert not _echoes(there, BRIEF)
        assert not _echoes(back, BRIEF)
        assert _echoes(out)
    assert a.ask_tcp(b_address, 80, BRIEF) == b.ask_tcp(a_address, 80, BRIEF) == ""


def test_a_peer_cannot_be_reached_under_another_address_or_past_its_consent(site: Site) -> None:
    one = replace(network(1, guests=1), peers=(ONE_AND_TWO[2],))
    two = replace(network(2, guests=1), peers=(ONE_AND_TWO[1],))
    third = replace(network(3, guests=1), peers=(ONE_AND_TWO[2],))
    (a,), (b,), (c,) = (site.guests(spec) for spec in (one, two, third))
    for spec in (one, two, third):
        site.apply(spec)
    there = two.reservations[0].address
    for stranger in ("10.61.0.99", "10.62.0.99", "10.63.0.2"):
        a.ip(f"address add {stranger}/32 dev eth0")
        with a.udp_socket() as spoofed:
            spoofed.bind((stranger, 0))
            assert ask(spoofed, there, 7, BRIEF) == ""
        a.ip(f"address del {stranger}/32 dev eth0")
    assert a.ask_udp(there, 7) == one.reservations[0].address
    assert c.ask_udp(there, 7, BRIEF) == b.ask_udp(third.reservations[0].address, 7, BRIEF) == ""


def test_a_peer_that_is_removed_takes_the_way_to_it_along(site: Site) -> None:
    one = replace(network(1, guests=1), peers=(ONE_AND_TWO[2],))
    two = replace(network(2, guests=1), peers=(ONE_AND_TWO[1],))
    (a,), _ = site.guests(one), site.guests(two)
    site.apply(one)
    site.apply(two)
    assert a.ask_tcp(two.reservations[0].address, 80)
    site.lab.apply(absent(two))
    assert '"kw2"' not in site.lab.host.run("nft", "list", "set", "inet", "kvmweb", "egress")
    assert a.ask_tcp(two.reservations[0].address, 80, BRIEF) == ""
    assert a.ask_tcp(OUTSIDE, 80) == SECOND_PUBLIC


def test_guests_kept_apart_meet_only_by_a_forward(site: Site) -> None:
    spec = replace(network(guests=2), guests_apart=True)
    first, second = spec.reservations
    a, b = site.guests(spec)
    site.apply(spec, forward(1, 1, first))
    for around in (False, True):
        if around:
            a.ip(f"route add {second.address}/32 via {spec.gateway}")
        assert a.ask_tcp(second.address, 80, BRIEF) == ""
    assert a.ask_tcp(OUTSIDE, 80) == b.ask_tcp(PUBLIC, 8080) == SECOND_PUBLIC
    assert site.lab.host.ask_tcp(second.address, 80)

    _replug(site.lab, a, first.port, first.mac, f"{first.address}/24", spec.gateway)
    site.apply(spec, forward(1, 1, first))
    assert a.ask_tcp(OUTSIDE, 80) == SECOND_PUBLIC
    assert a.ask_tcp(second.address, 80, BRIEF) == ""

    site.apply(replace(spec, guests_apart=False), forward(1, 1, first))
    assert a.ask_tcp(second.address, 80) == first.address


def test_a_network_that_passes_more_widens_the_ports_of_running_guests(site: Site) -> None:
    spec = network(guests=1)
    site.guests(spec)
    port = spec.reservations[0].port
    for mtu, of_port in ((1500, 1500), (9000, 9000), (1400, 9000)):
        site.apply(replace(spec, mtu=mtu))
        links = {link["ifname"]: link["mtu"] for link in site.lab.host.ip("link")}
        assert (links["kw1"], links[port]) == (mtu, of_port)


def _public(spec: NetworkSpec) -> NetworkSpec:
    """Routed, with 198.18.5.0/28, which is routed to its host."""
    first = replace(spec.reservations[0], address="198.18.5.2")
    subnet, gateway = "198.18.5.0/28", "198.18.5.1"
    return replace(
        spec,
        mode="routed",
        subnet=subnet,
        gateway=gateway,
        reservations=(first,),
        inbound=ANYBODY,
    )


def _replug(lab: Lab, guest: Namespace, port: str, mac: str, address: str, gateway: str) -> None:
    lab.host.ip(f"link del {port}")
    veth(lab.host, port, guest, "eth0", mac)
    guest.ip(f"address add {address} dev eth0")
    guest.ip(f"route add default via {gateway}")


def _echoes(connection: socket.socket, seconds: float = DEADLINE) -> bool:
    connection.settimeout(seconds)
    try:
        connection.sendall(b"still there")
        return connection.recv(100) == b"still there"
    except OSError:
        return False
